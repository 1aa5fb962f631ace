#include <pty.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <functional>
#include <nlohmann/json.hpp>

#include "agent/base/subprocess.h"
#include "tests/unit/clawctl/fixture.h"

namespace claw::ctl::testing {
namespace {

using Catch::Matchers::Contains;

const std::vector<std::string> kRun = {"node", "run", "--image", "busybox:1", "--tenant", "acme"};

std::vector<std::string> RunWith(const std::vector<std::string>& more) {
  std::vector<std::string> words = kRun;
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

TEST_CASE("run passes output, streams and exit code through", "[clawctl]") {
  Fixture node;
  node.state().output = {MakeChunk(pb::LogChunk::STDOUT, std::string("raw\0\033[1m", 8)),
                         MakeChunk(pb::LogChunk::STDERR, "oops\n")};
  node.state().exit.set_exit_code(42);
  const auto result = node.Ctl(RunWith({"--", "sh", "-c", "exit 42", "--help"}));
  CHECK(result.code == 42);
  CHECK(result.out == std::string("raw\0\033[1m", 8));
  CHECK(result.err == "oops\n");
  const auto& request = node.state().creates.at(0);
  CHECK(request.request_id().size() >= 32);
  CHECK(request.spec().tenant() == "tenants/acme");
  REQUIRE(request.spec().args_size() == 4);
  CHECK(request.spec().args(3) == "--help");
  CHECK(request.spec().command_size() == 0);
}

TEST_CASE("run reads every option", "[clawctl]") {
  Fixture node;
  const auto result =
      node.Ctl(RunWith({"-d",   "--name",       "web",          "--memory", "64Mi",  "--cpus",
                        "0.5",  "--pids",       "99",           "--env",    "A=B=C", "-e",
                        "D=",   "--mount",      "/src:/dst:rw", "--mount",  "/a:/b", "--workdir",
                        "/w",   "--entrypoint", "/bin/sh",      "--label",  "k=v",   "--read-only",
                        "--rm", "-it",          "--",           "-c",       "true"}));
  CHECK(result.code == 0);
  CHECK(result.out == "00112233445566ff\n");
  const auto& spec = node.state().creates.at(0).spec();
  CHECK(spec.display_name() == "web");
  CHECK(spec.workload_bytes() == int64_t{64} << 20);
  CHECK(spec.cpu_millis() == 500);
  CHECK(spec.pids_max() == 99);
  REQUIRE(spec.env_size() == 2);
  CHECK(spec.env(0) == "A=B=C");
  REQUIRE(spec.mounts_size() == 2);
  CHECK(spec.mounts(0).writable());
  CHECK_FALSE(spec.mounts(1).writable());
  CHECK(spec.mounts(1).destination() == "/b");
  CHECK(spec.working_directory() == "/w");
  REQUIRE(spec.command_size() == 1);
  CHECK(spec.command(0) == "/bin/sh");
  REQUIRE(spec.args_size() == 2);
  CHECK(spec.labels().at("k") == "v");
  CHECK(spec.read_only_root());
  CHECK(spec.auto_remove());
  CHECK(spec.tty());
  CHECK(spec.stdin_open());
}

TEST_CASE("run forwards standard input to its end", "[clawctl]") {
  Fixture node;
  const std::string input(300'000, 'x');
  const auto result = node.Ctl(RunWith({"-i", "--", "cat"}), input);
  CHECK(result.code == 0);
  CHECK(result.out == input);
}

TEST_CASE("run --dry-run changes nothing and says what would be", "[clawctl]") {
  Fixture node;
  const auto result = node.Ctl(RunWith({"--dry-run"}));
  CHECK(result.code == 0);
  CHECK(node.state().creates.at(0).validate_only());
  CHECK_THAT(result.out,
             Contains("Class:    gvisor") &&
                 Contains("128 MiB for the program + 64 MiB for the runtime = 192 MiB enforced"));
}

TEST_CASE("run answers 125 when the program never ran", "[clawctl]") {
  Fixture node;
  node.state().refusals = {{.code = 9, .message = "no runsc", .detail = std::nullopt}};
  CHECK(node.Ctl(kRun).code == 125);
  node.state().breaks_attach = true;
  const auto broken = node.Ctl(kRun);
  CHECK(broken.code == 125);
  CHECK_THAT(broken.err, Contains("the shim went away") && Contains("clawctl node logs -f"));
  node.StopAgent();
  CHECK(node.Ctl(kRun).code == 125);
}

TEST_CASE("run says when memory was the reason", "[clawctl]") {
  Fixture node;
  node.state().exit.set_exit_code(137);
  node.state().exit.set_reason(pb::END_REASON_OOM_KILLED);
  node.state().exit.set_memory_peak_bytes(int64_t{192} << 20);
  const auto result = node.Ctl(kRun);
  CHECK(result.code == 137);
  CHECK_THAT(result.err, Contains("memory limit") && Contains("192 MiB") && Contains("--memory"));
}

TEST_CASE("run refuses a wrong command line before the agent is asked", "[clawctl]") {
  Fixture node;
  for (const auto& wrong : std::vector<std::vector<std::string>>{{"--memory", "lots"},
                                                                 {"--cpus", "x"},
                                                                 {"--env", "NOVALUE"},
                                                                 {"--mount", "/a"},
                                                                 {"--mount", "/a:b"},
                                                                 {"--mount", "/a:/b:rx"},
                                                                 {"--pids", "0"},
                                                                 {"--nonsense"},
                                                                 {"stray"}}) {
    CAPTURE(wrong);
    const auto result = node.Ctl(RunWith(wrong));
    CHECK(result.code == 2);
    CHECK(result.err.starts_with("clawctl: "));
  }
  CHECK(node.Ctl({"node", "run", "--image", "x"}).code == 2);
  CHECK(node.Ctl({"node", "ps", "--", "x"}).code == 2);
  CHECK(node.state().creates.empty());
}

TEST_CASE("exec answers with the program's exit code", "[clawctl]") {
  Fixture node;
  node.state().sandboxes.push_back(
      MakeSandbox("aa11000000000001", "web", pb::SANDBOX_STATE_RUNNING));
  node.state().output = {MakeChunk(pb::LogChunk::STDOUT, "hi\n")};
  node.state().exit.set_exit_code(3);
  const auto result = node.Ctl(
      {"node", "exec", "-i", "--env", "A=B", "--workdir", "/w", "web", "--", "cat", "-n"}, "in");
  CHECK(result.code == 3);
  CHECK(result.out == "hi\nin");
  const auto& spec = node.state().execs.at(0);
  CHECK(spec.name() == "sandboxes/aa11000000000001");
  CHECK(spec.command(1) == "-n");
  CHECK(spec.env(0) == "A=B");
  CHECK(spec.working_directory() == "/w");
  CHECK(node.Ctl({"node", "exec", "nobody", "--", "true"}).code == 125);
  CHECK(node.Ctl({"node", "exec", "web"}).code == 2);
}

// clawctl as a process of its own.
Process Start(const Fixture& node, const std::vector<std::string>& args, ProcessSpec spec = {}) {
  spec.argv = {CLAWCTL_BINARY, "--socket", node.socket()};
  spec.argv.insert(spec.argv.end(), args.begin(), args.end());
  auto process = Spawn(spec);
  REQUIRE(process.ok());
  return *std::move(process);
}

bool WaitUntil(FakeState& state, const std::function<bool()>& reached) {
  std::unique_lock lock(state.mutex);
  return state.changed.wait_for(lock, std::chrono::seconds(20), reached);
}

// Sends each signal once the one before it has become a call.
int SignalledRun(Fixture& node, int signals) {
  FakeState& state = node.state();
  Process process = Start(node, kRun);
  // Signals are blocked before the first call, so one that is sent after it is never lost.
  REQUIRE(WaitUntil(state, [&state] { return !state.creates.empty(); }));
  for (int i = 1; i <= signals; ++i) {
    REQUIRE(process.Signal(i == 1 ? SIGINT : SIGTERM).ok());
    if (i > 2) break;
    REQUIRE(WaitUntil(state, [&state, i] { return state.stops_seen >= i; }));
  }
  return process.Wait().value_or(-1);
}

TEST_CASE("a signal stops the sandbox, a second one kills it", "[clawctl]") {
  Fixture node;
  node.state().runs_until_stopped = true;
  node.state().exit.set_exit_code(143);
  SECTION("once") {
    CHECK(SignalledRun(node, 1) == 143);
    REQUIRE(node.state().stops.size() == 1);
    CHECK_FALSE(node.state().stops[0].has_grace_period());
  }
  SECTION("twice") {
    node.state().stubborn = true;
    node.state().exit.set_exit_code(137);
    CHECK(SignalledRun(node, 2) == 137);
    REQUIRE(node.state().stops.size() == 2);
    CHECK(node.state().stops[1].has_grace_period());
    CHECK(node.state().stops[1].grace_period().seconds() == 0);
    CHECK(node.state().stops[0].request_id() != node.state().stops[1].request_id());
  }
  SECTION("a third one gives up waiting") {
    node.state().deaf = true;
    CHECK(SignalledRun(node, 3) == 125);
  }
}

TEST_CASE("with a terminal, keys go through raw and the size follows the window", "[clawctl]") {
  Fixture node;
  FakeState& state = node.state();
  winsize window{.ws_row = 24, .ws_col = 80, .ws_xpixel = 0, .ws_ypixel = 0};
  int master = -1;
  int slave = -1;
  REQUIRE(::openpty(&master, &slave, nullptr, nullptr, &window) == 0);
  const UniqueFd keyboard(master);
  UniqueFd terminal(slave);
  Process process = Start(node, RunWith({"-it"}),
                          {.descriptors = {{slave, 0}, {slave, 1}, {slave, 2}},
                           .new_session = true,
                           .controlling_terminal = true});
  terminal.reset();
  REQUIRE(WaitUntil(state, [&state] { return state.sizes.size() == 1; }));
  CHECK(state.sizes[0].rows() == 24);
  window.ws_col = 132;
  REQUIRE(::ioctl(master, TIOCSWINSZ, &window) == 0);
  REQUIRE(WaitUntil(state, [&state] { return state.sizes.size() == 2; }));
  CHECK(state.sizes[1].columns() == 132);
  // Cooked, Ctrl-C would be a signal and Ctrl-D the end of input; raw, both are bytes for the
  // program.
  REQUIRE(::write(master, "\x03\x04", 2) == 2);
  CHECK(process.Wait().value_or(-1) == 0);
  CHECK(state.stops.empty());
}

}  // namespace
}  // namespace claw::ctl::testing
