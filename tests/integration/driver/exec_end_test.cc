#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <random>

#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "agent/host/process.h"
#include "tests/integration/driver/oci_fixture.h"

namespace claw::test {
namespace {

using drivers::ExecSession;
using drivers::ExecSpec;
using drivers::Presence;

constexpr auto kPatience = std::chrono::seconds(60);

// Seconds to sleep that stand in no other command line.
std::string Marker() {
  std::random_device random;
  return StrCat(1'000'000'000 + random() % 1'000'000'000);
}

// Reads until `until` has come, or to the end where it is empty.
std::string Read(int fd, const std::string& until) {
  std::string text;
  char buffer[4096];
  while (until.empty() || text.find(until) == std::string::npos) {
    pollfd event{fd, POLLIN, 0};
    if (::poll(&event, 1, std::chrono::milliseconds(kPatience).count()) <= 0) break;
    const ssize_t got = ::read(fd, buffer, sizeof(buffer));
    if (got <= 0) break;
    text.append(buffer, static_cast<size_t>(got));
  }
  return text;
}

// Processes of this machine with `words` in their command line.
std::vector<pid_t> OnHost(const std::string& words) {
  std::vector<pid_t> found;
  const std::vector<std::string> entries = ListDirectory("/proc").value();
  for (const std::string& entry : entries) {
    int64_t pid = 0;
    if (!ParseInt(entry, &pid)) continue;
    const std::string line = Join(host::CommandLine(static_cast<pid_t>(pid)), " ");
    if (line.find(words) != std::string::npos) found.push_back(static_cast<pid_t>(pid));
  }
  return found;
}

// A sandbox that sleeps, and a program in it that is told from all others by its marker.
class Box {
 public:
  explicit Box(const std::string& kind) : fixture_(kind) {
    const auto spec = fixture_.Shell("exec sleep 1000");
    id_ = spec.id;
    const auto created = fixture_.driver().Create(spec);
    INFO(ToLogString(created.status()));
    REQUIRE(created.ok());
    handle_ = created->handle;
    pid_ = static_cast<pid_t>(created->process.pid);
    REQUIRE(fixture_.driver().Start(handle_).ok());
  }
  ~Box() {
    CHECK(fixture_.driver().Destroy(id_).ok());
    CHECK(fixture_.driver().Purge(id_).ok());
  }

  std::unique_ptr<ExecSession> Exec(const ExecSpec& spec) {
    auto session = fixture_.driver().Exec(handle_, spec);
    INFO(ToLogString(session.status()));
    REQUIRE(session.ok());
    return *std::move(session);
  }

  // What `ps` says in the sandbox: a second program there, after the first.
  std::string Processes() {
    const auto session = Exec({.argv = {"ps", "-o", "pid,args"}});
    const std::string lines = Read(session->stdout_fd(), "");
    CHECK(session->Wait().value_or(-1) == 0);
    return lines;
  }
  bool Has(const std::string& words) { return Processes().find(words) != std::string::npos; }

  // It has been killed, which is not at once the end of it.
  void AwaitGone(const std::string& marker) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    bool inside = Has(marker);
    while (inside && std::chrono::steady_clock::now() < deadline) inside = Has(marker);
    CHECK_FALSE(inside);
    CHECK(OnHost(marker).empty());
    // The runtime's client is named after a file of this sandbox's.
    CHECK(OnHost(StrCat(id_, "/exec-")).empty());
    const std::vector<std::string> files = ListDirectory(Folder()).value();
    for (const std::string& file : files) {
      CHECK_FALSE(file.starts_with("exec-"));
    }
  }

  void CheckRuns() {
    CHECK(fixture_.driver().Inspect(handle_)->presence == Presence::kRunning);
    CHECK(fixture_.driver().Recover(id_)->process.pid == pid_);
    CHECK(Has("sleep 1000"));
  }

 private:
  std::filesystem::path Folder() {
    return fixture_.dir() / "state" / std::string(fixture_.driver().name()) / id_;
  }

  OciFixture fixture_;
  std::string id_;
  DriverHandle handle_;
  pid_t pid_ = -1;
};

// Nothing but SIGKILL ends it: neither a closed pipe nor a terminal that hangs up.
ExecSpec Stubborn(const std::string& marker) {
  return {
      .argv = {"sh", "-c", StrCat("trap '' HUP INT TERM PIPE; echo begun; exec sleep ", marker)}};
}

void CheckEndsWithItsSession(const std::string& kind) {
  Box box(kind);
  const std::string marker = Marker();
  ExecSpec spec = Stubborn(marker);
  SECTION("over pipes") {}
  SECTION("over pipes, with standard input") { spec.stdin_open = true; }
  SECTION("on a terminal") { spec.tty = true; }
  auto session = box.Exec(spec);
  REQUIRE(Read(session->stdout_fd(), "begun").find("begun") == 0);
  REQUIRE(box.Has(marker));
  if (kind != "gvisor") CHECK(OnHost(marker).size() == 1);  // gVisor's are not the host's
  session.reset();
  box.AwaitGone(marker);
  box.CheckRuns();
}

void CheckEndsWhileItWrites(const std::string& kind) {
  Box box(kind);
  const std::string marker = Marker();
  auto session = box.Exec({.argv = {"yes", marker}});
  REQUIRE(Read(session->stdout_fd(), marker).find(marker) == 0);
  session.reset();
  box.AwaitGone(marker);
  box.CheckRuns();
}

// The caller may leave at any moment: before the program runs, and while it comes up.
void CheckEndsWhileItStarts(const std::string& kind) {
  Box box(kind);
  const std::string marker = Marker();
  for (int i = 0; i < 20; ++i) {
    auto session = box.Exec(Stubborn(marker));
    // Moments between none and the whole start, without a clock: so many looks at the machine.
    for (int looks = 0; looks < i; ++looks) OnHost(marker);
    session.reset();
  }
  box.AwaitGone(marker);
  box.CheckRuns();
}

TEST_CASE("a further program ends with its session, its sandbox does not",
          "[runc][legacy][gvisor]") {
  for (const char* kind : {"runc", "legacy", "gvisor"}) {
    DYNAMIC_SECTION(kind) { CheckEndsWithItsSession(kind); }
  }
}

TEST_CASE("a further program whose output nobody reads ends with its session",
          "[runc][legacy][gvisor]") {
  for (const char* kind : {"runc", "legacy", "gvisor"}) {
    DYNAMIC_SECTION(kind) { CheckEndsWhileItWrites(kind); }
  }
}

TEST_CASE("a further program whose session goes while it starts does not stay",
          "[runc][legacy][gvisor]") {
  for (const char* kind : {"runc", "legacy", "gvisor"}) {
    DYNAMIC_SECTION(kind) { CheckEndsWhileItStarts(kind); }
  }
}

}  // namespace
}  // namespace claw::test
