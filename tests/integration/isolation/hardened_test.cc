#include <catch2/catch.hpp>
#include <mutex>

#include "agent/base/strings.h"
#include "tests/integration/isolation/real_node.h"
#include "tests/support/busybox_root.h"
#include "tests/support/good_machine.h"
#include "tests/support/program_root.h"

// A hardened node over real runtimes. What is not real is the machine's settings: a test cannot
// change the kernel's on a machine that it shares.

namespace claw::test {
namespace {

constexpr char kProgram[] = R"(
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main() {
  struct { unsigned long long flags, mode, resolve; } how = {O_RDONLY, 0, 0};
  return syscall(437, AT_FDCWD, "/", &how, sizeof(how)) < 0;  /* openat2 */
}
)";

class Hardened {
 public:
  Hardened() {
    MakeBusyboxRoot(node.dir() / "root");
    AddCProgram(node.dir() / "root", "legacy", kProgram);
    node.Import(node.dir() / "root", "legacy");
    node.AddTenant("guest", Trust::kUntrusted);
    node.AddTenant("other", Trust::kUntrusted);
    node.AddTenant("house", Trust::kTrusted);
  }

  StatusOr<Sandbox> Start(const std::string& tenant, std::vector<std::string> command) {
    SandboxSpec spec;
    spec.tenant = tenant;
    spec.image = "legacy";
    spec.command = std::move(command);
    return node.Run(node.node().CreateSandbox({}, spec, false));
  }

  CompatResult Test() {
    CompatTestSpec spec;
    spec.image = "legacy";
    spec.baseline = true;
    spec.probes = {{.name = "legacy", .command = {"/legacy"}}};
    const auto verdict = node.Run(node.node().TestImage({}, spec, [](const std::string&) {}));
    INFO(verdict.status());
    REQUIRE(verdict.ok());
    return verdict->result;
  }

  void Set(const std::string& setting, const std::string& value) {
    const std::lock_guard lock(mutex_);
    machine_.settings[setting] = Setting(value);
  }

  std::vector<std::string> FailedChecks() {
    std::vector<std::string> failed;
    for (const NodeCheck& check : node.Run(node.node().CheckNode())) {
      if (check.for_hardened && check.outcome != CheckOutcome::kPassed) failed.push_back(check.id);
    }
    return failed;
  }

 private:
  std::mutex mutex_;
  MachineFacts machine_ = GoodMachine();

 public:
  RealNode node{{.node_class = NodeClass::kHardened}, [this]() -> StatusOr<MachineFacts> {
                  const std::lock_guard lock(mutex_);
                  return machine_;
                }};
};

TEST_CASE("a hardened node takes legacy code of one tenant, proven, and nothing else",
          "[isolation]") {
  Hardened world;
  CHECK(world.FailedChecks().empty());
  // It is not known to be legacy code yet.
  CHECK(ReasonOf(world.Start("guest", {"/legacy"}).status()) == "NODE_HARDENED");
  CHECK(world.Test() == CompatResult::kIncompatible);

  const StatusOr<Sandbox> ran = world.Start("guest", {"/legacy"});
  INFO(ran.status());
  REQUIRE(ran.ok());
  CHECK(ran->isolation == IsolationClass::kLegacyHardened);
  CHECK(ran->runtime_proof.find("loopback alone") != std::string::npos);
  const auto ended = world.node.Run(world.node.node().WaitSandbox(ran->id));
  REQUIRE(ended.ok());
  REQUIRE(ended->exit);
  CHECK(ended->exit->exit_code == 0);

  const StatusOr<Sandbox> stays = world.Start("guest", {"sleep", "1000"});
  INFO(stays.status());
  REQUIRE(stays.ok());
  CHECK(stays->runtime_proof.find("no capabilities") != std::string::npos);
  CHECK(ReasonOf(world.Start("other", {"/legacy"}).status()) == "NODE_TAKEN");
  CHECK(ReasonOf(world.Start("house", {"/legacy"}).status()) == "NODE_HARDENED");
  world.node.RemoveAll();
  CHECK(world.Start("other", {"/legacy"}).ok());
  CHECK(world.node.Traces(IsolationClass::kContainer).empty());
}

TEST_CASE("a node that stops passing takes no new legacy work, and says so", "[isolation]") {
  Hardened world;
  REQUIRE(world.Test() == CompatResult::kIncompatible);
  REQUIRE(world.Start("guest", {"sleep", "1000"}).ok());
  world.Set("kernel.unprivileged_bpf_disabled", "0");
  const StatusOr<Sandbox> refused = world.Start("guest", {"/legacy"});
  CHECK(ReasonOf(refused.status()) == "NODE_NOT_HARDENED");
  CHECK(ToStd(refused.status().message()).find("BPF") != std::string::npos);
  CHECK(world.FailedChecks() == std::vector<std::string>{"kernel.unprivileged-bpf"});
  const auto conditions = world.node.Ask([&] { return world.node.node().conditions(); });
  CHECK(Join(conditions, "\n").find("takes no new legacy work") != std::string::npos);
  world.Set("kernel.unprivileged_bpf_disabled", "2");
  CHECK(world.Start("guest", {"/legacy"}).ok());
}

}  // namespace
}  // namespace claw::test
