// Sandboxes in VMs: where they go, what becomes of them when something between host and guest
// breaks. The guests' agents are played; integration/guest has real ones.

#include <algorithm>
#include <csignal>

#include "tests/unit/rpc/vm_fixture.h"

namespace claw::test {
namespace {

TEST_CASE_METHOD(VmFixture, "sandboxes in VMs: what the host cannot run goes where it can") {
  Have("mac1");
  const auto created = Create(Spec("arm64-app"));
  INFO(ToLogString(created.status()));
  REQUIRE(created.ok());
  CHECK(created->target == "vms/mac1");
  CHECK(created->driver == "runc");
  CHECK(created->isolation == IsolationClass::kContainer);
  CHECK(RunningIn("mac1") == std::vector<std::string>{created->id});
  CHECK(world().running().empty());
  // The VM is charged as before: what is in it, its own ledger has.
  const auto memory = [](lifecycle::Node& node) -> lifecycle::Task<lifecycle::MemoryView> {
    co_return node.memory();
  };
  CHECK(Run(memory(node())).charged_workload_bytes == 0);
  // An image of the host's alone stays on the host; one of both, too: there nothing is emulated.
  for (const char* image : {"app", "both-app"}) {
    const auto here = Create(Spec(image));
    REQUIRE(here.ok());
    CHECK(here->target == "host");
  }
  CHECK(world().running().size() == 2);
}

TEST_CASE_METHOD(VmFixture, "sandboxes in VMs: explain names each target and what is in the way") {
  Have("mac1");
  const auto find = [](const std::vector<placement::Explanation>& all, const std::string& target) {
    const auto it =
        std::find_if(all.begin(), all.end(), [&](const auto& one) { return one.target == target; });
    REQUIRE(it != all.end());
    return *it;
  };
  const auto foreign = Explain(Spec("app"));
  CHECK(foreign.front().target == "host");
  CHECK_FALSE(find(foreign, "vms/mac1").fits);
  CHECK(ReasonOf(find(foreign, "vms/mac1").constraints.front().refusal) == "ARCHITECTURE_MISMATCH");
  const auto fits = Explain(Spec("arm64-app"));
  CHECK(fits.front().target == "vms/mac1");
  CHECK(fits.front().fits);
  CHECK_FALSE(find(fits, "host").fits);

  SandboxSpec mounted = Spec("arm64-app");
  mounted.mounts = {{.source = "/srv", .destination = "/srv"}};
  CHECK(ReasonOf(Create(mounted).status()) == "MOUNTS_UNSUPPORTED");
  SandboxSpec connected = Spec("arm64-app");
  connected.network.mode = NetworkMode::kBridge;
  CHECK(ReasonOf(Create(connected).status()) == "NETWORK_UNSUPPORTED");
  REQUIRE(Run(node().vms().Cordon(Next(), "mac1", true, "slow")).ok());
  CHECK(ReasonOf(Create(Spec("arm64-app")).status()) == "CORDONED");
  CHECK(RunningIn("mac1").empty());
}

TEST_CASE_METHOD(VmFixture,
                 "sandboxes in VMs: untrusted ones need a verdict of the guest's gVisor") {
  Have("mac1");
  CHECK(ReasonOf(Create(Spec("arm64-app", "guest")).status()) == "COMPAT_UNTESTED");
  std::vector<std::string> lines;
  CompatTestSpec test;
  test.image = "arm64-app";
  auto verdict =
      Run(node().TestImage(Next(), test, [&](std::string line) { lines.push_back(line); }));
  INFO(ToLogString(verdict.status()));
  REQUIRE(verdict.ok());
  CHECK(verdict->architecture == "arm64");
  const auto created = Create(Spec("arm64-app", "guest"));
  INFO(ToLogString(created.status()));
  REQUIRE(created.ok());
  CHECK(created->isolation == IsolationClass::kGvisor);
  CHECK(created->target == "vms/mac1");
  // The guest is handed what the host's decision rests on.
  const auto spec = Inside("mac1")->spec(created->id);
  REQUIRE(spec.ok());
  REQUIRE(spec->guest != nullptr);
  CHECK(spec->guest->tenant.name == "guest");
  CHECK(spec->guest->verdicts.size() == 1);
  // A verdict of the host's own gVisor says nothing of an image that it cannot run.
  vms().With("mac1", [](auto& machine) { machine.verdict = CompatResult::kIncompatible; });
  REQUIRE(Run(node().TestImage(Next(), test, [](const std::string&) {})).ok());
  CHECK(ReasonOf(Create(Spec("arm64-app", "guest")).status()) == "COMPAT_INCOMPATIBLE");
}

TEST_CASE_METHOD(VmFixture, "sandboxes in VMs: quotas count what is anywhere") {
  Have("mac1");
  lifecycle::TenantPatch patch;
  patch.quota_sandboxes = 2;
  REQUIRE(Run(node().UpdateTenant(Next(), "house", patch)).ok());
  REQUIRE(Create(Spec("app")).ok());
  REQUIRE(Create(Spec("arm64-app")).ok());
  CHECK(ReasonOf(Create(Spec("app")).status()) == "QUOTA_EXCEEDED");
  CHECK(ReasonOf(Create(Spec("arm64-app")).status()) == "QUOTA_EXCEEDED");
}

TEST_CASE_METHOD(VmFixture, "sandboxes in VMs: the end of one is seen, and its output stays") {
  Have("mac1");
  const auto created = Create(Spec("arm64-app"));
  REQUIRE(created.ok());
  REQUIRE(Inside("mac1")->Exit(created->id, 7).ok());
  CHECK(AwaitEnd(created->id).exit->exit_code == 7);
  CHECK(AwaitReleased(created->id).released);
  CHECK(Run(node().OpenLog(created->id)).ok());
  REQUIRE(Run(node().DeleteSandbox(Next(), created->id, false, false)).ok());
  CHECK(TracesIn("mac1").empty());
}

TEST_CASE_METHOD(VmFixture, "sandboxes in VMs: signals, stops and removals reach them") {
  Have("mac1");
  const auto created = Create(Spec("arm64-app"));
  REQUIRE(created.ok());
  REQUIRE(Run(node().SignalSandbox(Next(), created->id, SIGHUP)).ok());
  CHECK(Inside("mac1")->signals(created->id)->front() == SIGHUP);
  const auto second = Create(Spec("arm64-app"));
  REQUIRE(second.ok());
  REQUIRE(Run(node().StopSandbox(Next(), second->id, std::chrono::milliseconds(0))).ok());
  CHECK(Get(second->id).state == SandboxState::kExited);
  CHECK(Get(second->id).exit->reason == EndReason::kStopped);
  REQUIRE(Run(node().DeleteSandbox(Next(), created->id, true, false)).ok());
  CHECK_FALSE(Has(created->id));
}

TEST_CASE_METHOD(VmFixture, "sandboxes in VMs: a restart of the host's agent finds them again") {
  Have("mac1");
  const auto runs = Create(Spec("arm64-app"));
  const auto ends = Create(Spec("arm64-app"));
  REQUIRE((runs.ok() && ends.ok()));
  Crash([&] { REQUIRE(Inside("mac1")->Exit(ends->id, 3).ok()); });
  CHECK(AwaitEnd(ends->id).exit->exit_code == 3);
  CHECK(Get(runs->id).state == SandboxState::kRunning);
  REQUIRE(Inside("mac1")->Exit(runs->id, 4).ok());
  CHECK(AwaitEnd(runs->id).exit->exit_code == 4);
}

TEST_CASE_METHOD(VmFixture,
                 "sandboxes in VMs: those of a VM that dies are lost, and others are not") {
  Have("mac1");
  Have("mac2");
  const auto lost = Create(Spec("arm64-app"));
  const auto other = Create(Spec("arm64-app"));
  const auto here = Create(Spec("app"));
  REQUIRE((lost.ok() && other.ok() && here.ok()));
  // Spread over targets, as far as that is better.
  const std::string vm = VmOf(*lost);
  vms().Crash(vm);
  const Sandbox ended = AwaitReleased(lost->id);
  CHECK(ended.state == SandboxState::kLost);
  CHECK(ended.exit->reason == EndReason::kHostRestart);
  CHECK(ended.failure.find(vm) != std::string::npos);
  CHECK(Get(here->id).state == SandboxState::kRunning);
  if (VmOf(*other) != vm) CHECK(Get(other->id).state == SandboxState::kRunning);
  CHECK(GetVm(vm).state == VmState::kLost);
  // What is left of it in the guest goes when that is back.
  REQUIRE(Run(node().vms().Start(Next(), vm, nullptr)).ok());
  CHECK(TracesIn(vm).empty());
}

TEST_CASE_METHOD(VmFixture,
                 "sandboxes in VMs: one whose VM died while nobody looked is lost, too") {
  Have("mac1");
  const auto created = Create(Spec("arm64-app"));
  REQUIRE(created.ok());
  Crash([&] { vms().Crash("mac1", false); });
  CHECK(AwaitEnd(created->id).state == SandboxState::kLost);
  CHECK(AwaitReleased(created->id).released);
}

TEST_CASE_METHOD(VmFixture,
                 "sandboxes in VMs: what an agent had begun when it died is taken back") {
  Have("mac1");
  auto gate = Inside("mac1")->Block(drivers::Step::kStart);
  auto starting = Begin(node().CreateSandbox(Next(), Spec("arm64-app"), false));
  REQUIRE(gate->AwaitArrival());
  Crash([&] { gate->Release(); });
  // It was never acknowledged: nothing of it runs, and its record goes with what is left of it.
  const std::string id = TracesIn("mac1").front();
  CHECK(AwaitReleased(id).state == SandboxState::kFailed);
  CHECK(RunningIn("mac1").empty());
  REQUIRE(Run(node().DeleteSandbox(Next(), id, false, false)).ok());
  CHECK(TracesIn("mac1").empty());
}

TEST_CASE_METHOD(VmFixture, "sandboxes in VMs: a start that the guest refuses leaves nothing") {
  Have("mac1");
  Inside("mac1")->Fail(drivers::Step::kCreate,
                       MakeError(StatusCode::kResourceExhausted, "the guest has no room",
                                 {.reason = "MEMORY_EXHAUSTED"}));
  const auto refused = Create(Spec("arm64-app"));
  CHECK(ReasonOf(refused.status()) == "MEMORY_EXHAUSTED");
  CHECK(TracesIn("mac1").empty());
  CHECK(Create(Spec("arm64-app")).ok());
}

TEST_CASE_METHOD(VmFixture, "sandboxes in VMs: a drained VM waits for them, a stop is refused") {
  Have("mac1");
  const auto created = Create(Spec("arm64-app"));
  REQUIRE(created.ok());
  CHECK(ReasonOf(Run(node().vms().Stop(Next(), "mac1", std::nullopt, false)).status()) ==
        "VM_IN_USE");
  REQUIRE(Run(node().vms().Drain(Next(), "mac1", "why")).ok());
  CHECK(GetVm("mac1").state == VmState::kRunning);
  CHECK(ReasonOf(Create(Spec("arm64-app")).status()) == "CORDONED");
  REQUIRE(Run(node().StopSandbox(Next(), created->id, std::chrono::milliseconds(0))).ok());
  AwaitReleased(created->id);
  REQUIRE(Run(node().vms().Drain(Next(), "mac1", "why")).ok());
  CHECK(GetVm("mac1").state == VmState::kStopped);
}

TEST_CASE_METHOD(VmFixture, "sandboxes in VMs: a tenant that loses its trust loses those, too") {
  Have("mac1");
  const auto created = Create(Spec("arm64-app"));
  REQUIRE(created.ok());
  lifecycle::TenantPatch patch;
  patch.trust = Trust::kUntrusted;
  REQUIRE(Run(node().UpdateTenant(Next(), "house", patch)).ok());
  CHECK(Get(created->id).exit->reason == EndReason::kRevoked);
  CHECK(RunningIn("mac1").empty());
}

}  // namespace
}  // namespace claw::test
