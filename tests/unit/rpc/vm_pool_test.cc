// VMs that come when a sandbox needs one, and go when nothing does any more.

#include <thread>

#include "tests/unit/rpc/vm_fixture.h"

namespace claw::test {
namespace {

lifecycle::NodeConfig WithPool(int64_t most) {
  lifecycle::NodeConfig config = WithVms();
  config.vms.pool = most;
  config.vms.idle_time = std::chrono::milliseconds(0);
  return config;
}

class PoolFixture : public VmFixture {
 public:
  PoolFixture() : VmFixture(WithPool(1)) {}
  void AwaitState(const std::string& name, VmState state) {
    while (GetVm(name).state != state) {
      Run(node().vms().Tend());
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
};

TEST_CASE_METHOD(PoolFixture,
                 "pool: the first sandbox that needs a VM brings one, and it goes again") {
  CHECK_FALSE(HasVm("pool-1"));
  REQUIRE(Create(Spec("app")).ok());
  CHECK_FALSE(HasVm("pool-1"));
  const auto created = Create(Spec("arm64-app"));
  INFO(ToLogString(created.status()));
  REQUIRE(created.ok());
  CHECK(created->target == "vms/pool-1");
  CHECK(GetVm("pool-1").on_demand);
  // The next one finds it running.
  const auto second = Create(Spec("arm64-app"));
  REQUIRE(second.ok());
  CHECK(second->target == "vms/pool-1");
  // As long as anything is in it, it stays.
  Run(node().vms().Tend());
  CHECK(GetVm("pool-1").state == VmState::kRunning);
  for (const auto& one : {created, second}) {
    REQUIRE(Run(node().DeleteSandbox(Next(), one->id, true, false)).ok());
  }
  AwaitState("pool-1", VmState::kStopped);
  // And it comes back with the next.
  const auto third = Create(Spec("arm64-app"));
  REQUIRE(third.ok());
  CHECK(third->target == "vms/pool-1");
  CHECK(vms().With("pool-1", [](auto& machine) { return machine.boots; }) == 2);
}

TEST_CASE_METHOD(PoolFixture, "pool: what a VM would not take either brings none") {
  SECTION("it has mounts") {
    SandboxSpec spec = Spec("arm64-app");
    spec.mounts = {{.source = "/srv", .destination = "/srv"}};
    CHECK_FALSE(Create(spec).ok());
  }
  SECTION("it is larger than a VM") {
    SandboxSpec spec = Spec("arm64-app");
    spec.workload_bytes = 2 * kGiB;
    CHECK_FALSE(Create(spec).ok());
  }
  SECTION("its name is taken") {
    SandboxSpec spec = Spec("app");
    spec.display_name = "web";
    REQUIRE(Create(spec).ok());
    SandboxSpec other = Spec("arm64-app");
    other.display_name = "web";
    CHECK_FALSE(Create(other).ok());
  }
  SECTION("the node is cordoned") {
    REQUIRE(Run(node().Cordon(Next(), "")).ok());
    CHECK_FALSE(Create(Spec("arm64-app")).ok());
  }
  CHECK_FALSE(HasVm("pool-1"));
}

TEST_CASE_METHOD(PoolFixture, "pool: many at once bring one VM") {
  std::vector<std::future<StatusOr<Sandbox>>> all;
  for (int i = 0; i < 5; ++i) {
    all.push_back(Begin(node().CreateSandbox(Next(), Spec("arm64-app"), false)));
  }
  for (auto& one : all) {
    const auto created = one.get();
    INFO(ToLogString(created.status()));
    REQUIRE(created.ok());
    CHECK(created->target == "vms/pool-1");
  }
  CHECK_FALSE(HasVm("pool-2"));
  CHECK(vms().With("pool-1", [](auto& machine) { return machine.boots; }) == 1);
}

TEST_CASE_METHOD(PoolFixture,
                 "pool: one that does not start is said to be why, and is tried again") {
  vms().FailBoot(
      MakeError(StatusCode::kUnavailable, "no machine today", {.reason = "VM_START_FAILED"}));
  const auto refused = Create(Spec("arm64-app"));
  REQUIRE_FALSE(refused.ok());
  INFO(ToLogString(refused.status()));
  CHECK(GetVm("pool-1").failure.find("no machine today") != std::string::npos);
  vms().FailBoot(absl::OkStatus());
  CHECK(Create(Spec("arm64-app")).ok());
}

TEST_CASE_METHOD(PoolFixture, "pool: a VM that somebody made is started, too, and never stopped") {
  VmSpec spec;
  spec.name = "mine";
  REQUIRE(Run(node().vms().Create(Next(), spec, false)).ok());
  const auto created = Create(Spec("arm64-app"));
  REQUIRE(created.ok());
  CHECK(created->target == "vms/mine");
  CHECK_FALSE(HasVm("pool-1"));
  REQUIRE(Run(node().DeleteSandbox(Next(), created->id, true, false)).ok());
  Run(node().vms().Tend());
  CHECK(GetVm("mine").state == VmState::kRunning);
}

TEST_CASE_METHOD(PoolFixture,
                 "pool: one of an image that has been replaced goes as soon as it is empty") {
  config().vms.idle_time = std::chrono::hours(1);
  Restart();
  const auto created = Create(Spec("arm64-app"));
  REQUIRE(created.ok());
  vms().SetImage("sha256:image-2");
  REQUIRE(Run(node().vms().CheckImage()).ok());
  Run(node().vms().Tend());
  CHECK(GetVm("pool-1").state == VmState::kRunning);
  REQUIRE(Run(node().DeleteSandbox(Next(), created->id, true, false)).ok());
  AwaitState("pool-1", VmState::kStopped);
  REQUIRE(Create(Spec("arm64-app")).ok());
  CHECK(GetVm("pool-1").image_digest == "sha256:image-2");
}

TEST_CASE("pool: an empty one that keeps memory goes earlier than one that gave it back") {
  lifecycle::NodeConfig config = WithPool(2);
  config.vms.idle_time = std::chrono::seconds(20);
  VmFixture fixture(config);
  SandboxSpec spec = VmFixture::Spec("arm64-app");
  spec.workload_bytes = 700 * kMiB;  // two do not fit one VM
  const auto first = fixture.Create(spec);
  const auto second = fixture.Create(spec);
  REQUIRE((first.ok() && second.ok()));
  REQUIRE(first->target != second->target);
  fixture.vms().With(VmOf(*first), [](auto& machine) { machine.resident_bytes = kGiB; });
  for (const auto& one : {first, second}) {
    REQUIRE(fixture.Run(fixture.node().DeleteSandbox({}, one->id, true, false)).ok());
  }
  while (fixture.GetVm(VmOf(*first)).state == VmState::kRunning) {
    fixture.Run(fixture.node().vms().Tend());
  }
  CHECK(fixture.GetVm(VmOf(*second)).state == VmState::kRunning);
}

TEST_CASE_METHOD(PoolFixture, "pool: a test of a foreign image brings a VM") {
  CompatTestSpec test;
  test.image = "arm64-app";
  const auto verdict = Run(node().TestImage(Next(), test, [](const std::string&) {}));
  INFO(ToLogString(verdict.status()));
  REQUIRE(verdict.ok());
  CHECK(GetVm("pool-1").state == VmState::kRunning);
  CHECK(Create(Spec("arm64-app", "guest")).ok());
}

TEST_CASE("pool: none comes where none may") {
  VmFixture none(WithPool(0));
  CHECK(ReasonOf(none.Create(VmFixture::Spec("arm64-app")).status()) == "ARCHITECTURE_MISMATCH");
  lifecycle::NodeConfig config = WithPool(1);
  config.allow_emulated = false;
  VmFixture emulated(config);
  CHECK_FALSE(emulated.Create(VmFixture::Spec("arm64-app")).ok());
  CHECK_FALSE(emulated.HasVm("pool-1"));
}

}  // namespace
}  // namespace claw::test
