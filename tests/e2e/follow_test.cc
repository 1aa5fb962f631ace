#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <fstream>

#include "agent/base/strings.h"
#include "agent/base/unique_fd.h"
#include "tests/e2e/agent.h"

namespace claw::test {
namespace {

constexpr int kPatienceMs = 60'000;

// What comes out of a descriptor, in the order in which it is waited for.
class Output {
 public:
  explicit Output(UniqueFd fd) : fd_(std::move(fd)) {}

  // Reads on until `text` has come after what was awaited before.
  bool Await(const std::string& text) {
    while (true) {
      const size_t at = all_.find(text, seen_);
      if (at != std::string::npos) {
        seen_ = at + text.size();
        return true;
      }
      if (!Read()) return false;
    }
  }
  bool AwaitEnd() {
    while (Read()) continue;
    return ended_;
  }

  int fd() const { return fd_.get(); }
  const std::string& all() const { return all_; }

 private:
  bool Read() {
    pollfd event{fd_.get(), POLLIN, 0};
    if (::poll(&event, 1, kPatienceMs) <= 0) return false;
    char buffer[4096];
    const ssize_t got = ::read(fd_.get(), buffer, sizeof(buffer));
    ended_ = got <= 0;  // a terminal ends with EIO
    if (got > 0) all_.append(buffer, static_cast<size_t>(got));
    return got > 0;
  }

  UniqueFd fd_;
  std::string all_;
  size_t seen_ = 0;
  bool ended_ = false;
};

// Kills it if the test fails before its end.
class Client {
 public:
  explicit Client(const ProcessSpec& spec) {
    auto started = Spawn(spec);
    REQUIRE(started.ok());
    process_ = *std::move(started);
  }
  ~Client() {
    if (reaped_) return;
    process_.Signal(SIGKILL).IgnoreError();
    process_.Wait().IgnoreError();
  }
  bool runs() const {
    pollfd event{process_.pidfd(), POLLIN, 0};
    return ::poll(&event, 1, 0) == 0;
  }
  int ExitCode() {
    pollfd event{process_.pidfd(), POLLIN, 0};
    REQUIRE(::poll(&event, 1, kPatienceMs) == 1);
    reaped_ = true;
    return process_.Wait().value_or(-1);
  }

 private:
  Process process_;
  bool reaped_ = false;
};

TEST_CASE("logs -f shows what is written from now on, and ends with the program", "[e2e]") {
  Agent agent;
  agent.Furnish();
  for (const std::string tenant : {"house", "guest"}) {
    INFO(tenant);
    const std::filesystem::path control = agent.dir() / ("control-" + tenant);
    std::filesystem::create_directory(control);
    std::filesystem::permissions(control, std::filesystem::perms(0755));
    agent.Must({"run", "-d", "--name", "box", "--tenant", tenant, "--image", "busybox", "--mount",
                control.string() + ":/control", "--", "sh", "-c",
                "echo first; while ! test -e /control/a; do sleep 0.1; done; echo second; "
                "while ! test -e /control/b; do sleep 0.1; done; echo third; echo error >&2; "
                "exit 7"});
    auto out = MakePipe();
    auto err = MakePipe();
    REQUIRE(out.ok());
    REQUIRE(err.ok());
    ProcessSpec spec = agent.CtlCommand({"logs", "-f", "box"});
    spec.descriptors = {{out->second.get(), 1}, {err->second.get(), 2}};
    Client client(spec);
    out->second.reset();
    err->second.reset();
    Output lines(std::move(out->first));
    Output errors(std::move(err->first));

    CHECK(lines.Await("first\n"));
    CHECK(client.runs());
    std::ofstream(control / "a") << "now";
    CHECK(lines.Await("second\n"));
    CHECK(client.runs());
    CHECK(agent.Field("box", "/state") == "SANDBOX_STATE_RUNNING");
    std::ofstream(control / "b") << "now";
    CHECK(lines.AwaitEnd());
    CHECK(errors.AwaitEnd());
    CHECK(client.ExitCode() == 0);
    CHECK(lines.all() == "first\nsecond\nthird\n");
    CHECK(errors.all() == "error\n");
    CHECK(agent.Field("box", "/exit/exit_code") == "7");
    agent.Must({"rm", "box"});
  }
}

// clawctl at a real terminal, and the one who sits there.
class Terminal {
 public:
  Terminal(const Agent& agent, const std::vector<std::string>& args)
      : pair_(Open()), screen_(std::move(pair_.first)), client_(Command(agent, args)) {}

  void Type(const std::string& keys) {
    REQUIRE(::write(screen_.fd(), keys.data(), keys.size()) == static_cast<ssize_t>(keys.size()));
  }
  bool Await(const std::string& text) { return screen_.Await(text); }
  void Resize(unsigned short rows, unsigned short columns) {
    const winsize window{.ws_row = rows, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
    REQUIRE(::ioctl(screen_.fd(), TIOCSWINSZ, &window) == 0);
  }
  // Whether the program's terminal takes on a size, which comes some time after ours.
  bool AwaitSize(const std::string& rows_and_columns) {
    Type(StrCat("until [ \"$(stty size)\" = \"", rows_and_columns, "\" ]; do sleep 0.1; done; ",
                "echo \"size-$((1+1))<$(stty size)>\"\n"));
    return Await(StrCat("size-2<", rows_and_columns, ">"));
  }
  int ExitCode() { return client_.ExitCode(); }
  // Keys are echoed and edited by the terminal itself.
  bool IsCooked() const {
    termios now{};
    REQUIRE(::tcgetattr(pair_.second.get(), &now) == 0);
    return (now.c_lflag & (ICANON | ECHO | ISIG)) == (ICANON | ECHO | ISIG);
  }
  const std::string& all() const { return screen_.all(); }

 private:
  using Pair = std::pair<UniqueFd, UniqueFd>;  // master, slave

  static Pair Open() {
    const winsize window{.ws_row = 24, .ws_col = 80, .ws_xpixel = 0, .ws_ypixel = 0};
    int master = -1;
    int slave = -1;
    REQUIRE(::openpty(&master, &slave, nullptr, nullptr, &window) == 0);
    return {UniqueFd(master), UniqueFd(slave)};
  }

  ProcessSpec Command(const Agent& agent, const std::vector<std::string>& args) const {
    ProcessSpec spec = agent.CtlCommand(args);
    const int slave = pair_.second.get();
    spec.descriptors = {{slave, 0}, {slave, 1}, {slave, 2}};
    spec.new_session = true;
    spec.controlling_terminal = true;
    return spec;
  }

  Pair pair_;
  Output screen_;
  Client client_;
};

// A shell that has just begun. Numbers are computed, so that an answer is told from the echo of
// what was typed.
void CheckShell(Terminal& terminal, const std::string& tenant) {
  terminal.Type("test -t 0 && test -t 1 && test -t 2 && echo on-$((1+0))\n");
  CHECK(terminal.Await("echo on-$((1+0))"));
  CHECK(terminal.Await("on-1\r\n"));
  // gVisor's terminal is the host's and has no name inside: there `tty` knows nothing.
  if (tenant == "house") {
    terminal.Type("echo \"is<$(tty)>\"\n");
    CHECK(terminal.Await("is</dev/"));
  }
  CHECK(terminal.AwaitSize("24 80"));
  terminal.Resize(40, 132);
  CHECK(terminal.AwaitSize("40 132"));
  CHECK_FALSE(terminal.IsCooked());
  // Ctrl-C is the program's, not clawctl's.
  terminal.Type("sh -c 'echo go-$((2+2)); exec sleep 1000'\n");
  CHECK(terminal.Await("go-4"));
  terminal.Type("\x03");
  terminal.Type("echo code-$?-$((2+3))\n");
  CHECK(terminal.Await("code-130-5"));
  terminal.Type("exit 42\n");
  CHECK(terminal.ExitCode() == 42);
  CHECK(terminal.IsCooked());
}

TEST_CASE("a shell at a real terminal: exec -it", "[e2e]") {
  Agent agent;
  agent.Furnish();
  for (const char* tenant : {"house", "guest"}) {
    DYNAMIC_SECTION(tenant) {
      agent.Must({"run", "-d", "--name", "box", "--tenant", tenant, "--image", "busybox", "--",
                  "sleep", "1000"});
      Terminal terminal(agent, {"exec", "-it", "box", "--", "sh"});
      CheckShell(terminal, tenant);
      INFO(terminal.all());
      CHECK(agent.Field("box", "/state") == "SANDBOX_STATE_RUNNING");
    }
  }
}

TEST_CASE("a shell at a real terminal: run -it", "[e2e]") {
  Agent agent;
  agent.Furnish();
  for (const char* tenant : {"house", "guest"}) {
    DYNAMIC_SECTION(tenant) {
      Terminal terminal(
          agent, {"run", "-it", "--rm", "--tenant", tenant, "--image", "busybox", "--", "sh"});
      CheckShell(terminal, tenant);
    }
  }
}

}  // namespace
}  // namespace claw::test
