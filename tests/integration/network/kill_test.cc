// kill -9 of the agent at every step of an attachment's life. What a step is: every program that
// is started for it (CNI plugins, also those that plugins start, and `ip`), and moments between.

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <optional>
#include <random>
#include <set>
#include <thread>

#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "tests/integration/network/world.h"
#include "tests/integration/network/world_config.h"

namespace claw::test {
namespace {

namespace fs = std::filesystem;
using std::chrono::microseconds;

constexpr char kRange[] = "10.222.0.0/20";

// Stands before a program: counts the calls, each in a file that says what was called, and kills
// the agent at one of them.
constexpr char kWrapper[] = R"(#!/bin/sh
set -C
n=1
while ! { echo "NAME $CNI_COMMAND $*" >"DIR/calls/$n"; } 2>/dev/null; do n=$((n + 1)); done
read target when <DIR/target
[ "$n" = "$target" ] || exec REAL "$@"
read agent <DIR/agent
case $when in
  before) kill -9 "$agent"; exit 1 ;;
  after) REAL "$@"; code=$?; kill -9 "$agent"; exit $code ;;
  meanwhile) kill -9 "$agent"; exec REAL "$@" ;;
esac
)";

std::string Replaced(std::string text, std::string_view what, const std::string& with) {
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += with.size()) {
    text.replace(at, what.size(), with);
  }
  return text;
}

// The children that this process has, and has inherited from those that were killed.
std::set<pid_t> Children() {
  std::set<pid_t> children;
  const std::vector<std::string> names = ListDirectory("/proc").value();
  for (const std::string& entry : names) {
    int64_t pid = 0;
    if (!ParseInt(entry, &pid)) continue;
    const std::string stat = ReadFile(StrCat("/proc/", pid, "/stat")).value_or("");
    const size_t end = stat.rfind(')');
    if (end == std::string::npos) continue;
    const auto fields = Split(Trim(stat.substr(end + 1)), ' ');
    if (fields.size() > 1 && fields[1] == StrCat(::getpid())) {
      children.insert(static_cast<pid_t>(pid));
    }
  }
  return children;
}

class Killer {
 public:
  Killer() {
    REQUIRE(::prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    REQUIRE(EnsureDirectory(plugins()).ok());
    for (const std::string name : {"bridge", "host-local", "loopback", "portmap", "ip"}) {
      const auto real = name == "ip" ? FindProgram("ip") : "/usr/lib/cni/" + name;
      REQUIRE(real.ok());
      std::string script = Replaced(kWrapper, "NAME", name);
      script = Replaced(std::move(script), "DIR", dir_.path());
      script = Replaced(std::move(script), "REAL", *real);
      REQUIRE(WriteFileAtomic(plugins() / name, script).ok());
      fs::permissions(plugins() / name, fs::perms(0755));
    }
  }

  // What of the agent's children lives on after it.
  enum class Orphans { kLive, kKilled };

  // Starts the agent. `adopt`: the sandbox "old" is there.
  void Start(const World& world, const Nobody& sandbox, bool adopt, const std::string& target) {
    before_ = Children();
    fs::remove_all(dir_.path() / "calls");
    REQUIRE(EnsureDirectory(dir_.path() / "calls").ok());
    REQUIRE(WriteFileAtomic(dir_.path() / "target", target + "\n").ok());
    const UniqueFd log = TempFile();
    ProcessSpec spec;
    spec.argv = {CLAW_KILL_AGENT, world.run_dir(),       kRange,
                 plugins(),       dir_.path() / "agent", StrCat(sandbox.pid())};
    if (adopt) {
      const NetworkAttachment& at = world.Attachment("old");
      spec.argv.insert(spec.argv.end(), {at.ipv4, at.ipv6, at.mac, at.host_interface, at.bridge});
    }
    spec.env = {StrCat("PATH=", plugins().string(), ":/usr/sbin:/usr/bin:/sbin:/bin")};
    spec.descriptors = {{log.get(), 1}, {log.get(), 2}};
    auto process = Spawn(spec);
    REQUIRE(process.ok());
    process_ = std::move(*process);
  }

  // The exit code of the agent; 137 if it was killed. With what it has said in its log.
  int Wait() {
    const auto code = process_.Wait();
    REQUIRE(code.ok());
    return *code;
  }

  void KillAfter(int call, microseconds delay, Orphans orphans) {
    REQUIRE(Eventually([&] { return fs::exists(dir_.path() / "calls" / StrCat(call)); }));
    // Not a wait for something to happen: the moment is what is tried.
    std::this_thread::sleep_for(delay);
    process_.Signal(SIGKILL).IgnoreError();
    if (orphans == Orphans::kKilled) KillOrphans();
  }

  // What plugins and their children do still is done.
  void AwaitOrphans() {
    REQUIRE(EachOrphan([](pid_t) {}));
  }
  void KillOrphans() {
    REQUIRE(EachOrphan([](pid_t pid) { ::kill(pid, SIGKILL); }));
  }

  std::string Log() const { return ReadFile(dir_.path() / "log").value_or(""); }
  std::string Call(int number) const {
    return std::string(
        Trim(ReadFile(dir_.path() / "calls" / StrCat(number)).value_or("never made")));
  }
  int Calls() const {
    return static_cast<int>(ListDirectory(dir_.path() / "calls").value().size());
  }

 private:
  fs::path plugins() const { return dir_.path() / "plugins"; }

  UniqueFd TempFile() const {
    const fs::path path = dir_.path() / "log";
    return UniqueFd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  }

  // Until there are none: each may leave some more.
  template <typename Do>
  bool EachOrphan(const Do& act) {
    return Eventually([&] {
      bool none = true;
      for (const pid_t pid : Children()) {
        if (before_.count(pid) > 0 || pid == process_.pid()) continue;
        none = false;
        act(pid);
        ::waitpid(pid, nullptr, 0);
      }
      return none;
    });
  }

  TempDir dir_;
  std::set<pid_t> before_;
  Process process_;
};

std::string PortChains() {
  std::string found;
  for (const std::string save : {"iptables-save", "ip6tables-save"}) {
    for (const std::string_view line : Split(RunHere({save}), '\n', true)) {
      if (line.find("CNI-DN-") != std::string_view::npos ||
          line.find("CNI-SN-") != std::string_view::npos ||
          line.find("80") != std::string_view::npos) {
        found += StrCat(save, ": ", line, "\n");
      }
    }
  }
  return found;
}

// A world in which agents are killed, without or with a sandbox that outlives them all.
class Scene {
 public:
  explicit Scene(bool with_old) : with_old_(with_old), old_(FullPlan("old")) {
    old_.ports.clear();
    if (with_old_) {
      world_.Connect(old_);
      stream_ = world_.Tcp(world_.Sandbox("old"), world_.Out1(), 80);
      REQUIRE(stream_);
      // Chains have the names that they get when sandboxes are adopted.
      world_.Restart();
      Reconcile();
    }
    rules_ = Rules();
    left_ = Leftovers(world_);
  }

  void Begin(const std::string& target) {
    world_.Stop();
    sandbox_.emplace();
    killer_.Start(world_, *sandbox_, with_old_, target);
  }

  void Recover() {
    world_.Restart();
    Reconcile();
    // Also what a namespace that lives on would hold.
    CHECK(Leftovers(world_) == left_);
    killer_.AwaitOrphans();
    sandbox_.reset();
    CHECK(Leftovers(world_) == left_);
    CHECK(Rules() == rules_);
    CHECK(PortChains().empty());
    if (!with_old_) return;
    CHECK(world_.Carries(stream_.client, stream_.server));
    CHECK(world_.Carries(stream_.server, stream_.client));
    CHECK_FALSE(world_.Tcp(world_.Sandbox("old"), world_.Out1(), 81));
  }

  Killer& killer() { return killer_; }

 private:
  void Reconcile() {
    if (with_old_) REQUIRE(world_.networks().Adopt(old_, world_.Attachment("old")).ok());
    const auto removed = world_.networks().Reconcile();
    INFO(ToLogString(removed.status()));
    REQUIRE(removed.ok());
  }

  const bool with_old_;
  network::NetworkPlan old_;
  World world_{kRange};
  Killer killer_;
  std::optional<Nobody> sandbox_;
  World::Stream stream_;
  std::string rules_;
  std::string left_;
};

// At least as many programs are started for: the version, the neighbours, lo, bridge, host-local,
// routes, the port, portmap; and the interface, portmap, neighbours, bridge, host-local on the way
// back.
constexpr int kLeastCalls = 15;

void KillAtEachCall(bool with_old) {
  Scene scene(with_old);
  for (const std::string when : {"before", "after", "meanwhile"}) {
    int killed = 0;
    while (true) {
      const std::string target = StrCat(killed + 1, " ", when);
      scene.Begin(target);
      const int code = scene.killer().Wait();
      INFO("killed at call " << target << " (" << scene.killer().Call(killed + 1) << ")\n"
                             << scene.killer().Log());
      scene.Recover();
      if (code == 0) break;
      REQUIRE(code == 128 + SIGKILL);
      ++killed;
    }
    CHECK(killed == scene.killer().Calls());
    CHECK(killed >= kLeastCalls);
    WARN("killed " << when << " each of " << killed << " programs");
  }
}

TEST_CASE("kill -9 at each program that is started leaves nothing behind after recovery") {
  KillAtEachCall(false);
}

TEST_CASE("kill -9 at each program that is started harms no sandbox that was there") {
  KillAtEachCall(true);
}

TEST_CASE("kill -9 at any moment leaves nothing behind after recovery") {
  constexpr int kTriesOfEach = 3;
  constexpr int kLongestMicros = 12'000;
  Scene scene(true);
  std::mt19937 random(4711);  // NOLINT(cert-msc32-c,cert-msc51-cpp): the same moments each time
  int killed = 0;
  for (int i = 0; i < kTriesOfEach * kLeastCalls; ++i) {
    const int call = 1 + i % kLeastCalls;
    const auto delay = microseconds(random() % kLongestMicros);
    const auto orphans = random() % 2 == 0 ? Killer::Orphans::kLive : Killer::Orphans::kKilled;
    scene.Begin("0 never");
    scene.killer().KillAfter(call, delay, orphans);
    const int code = scene.killer().Wait();
    INFO("killed " << delay.count() << " us into call " << call << " (" << scene.killer().Call(call)
                   << "), orphans " << (orphans == Killer::Orphans::kLive ? "live" : "killed")
                   << "\n"
                   << scene.killer().Log());
    if (code == 128 + SIGKILL) ++killed;
    scene.Recover();
  }
  CHECK(killed >= kTriesOfEach * kLeastCalls * 3 / 4);
  WARN("killed at " << killed << " moments");
}

}  // namespace
}  // namespace claw::test
