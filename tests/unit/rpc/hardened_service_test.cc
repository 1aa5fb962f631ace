// A node of class hardened: what it takes, how it loses what it is trusted for, and how it gets it
// back.

#include <map>

#include "tests/unit/rpc/compat_fixture.h"

namespace claw::test {
namespace {

using Catch::Contains;

lifecycle::NodeConfig HardenedConfig() {
  lifecycle::NodeConfig config;
  config.node_class = NodeClass::kHardened;
  return config;
}

// With an image that was proven incompatible with gVisor.
class HardenedFixture : public CompatFixture {
 public:
  HardenedFixture() : CompatFixture(HardenedConfig()) {
    world().SetProgram(NeedsPidfd);
    world().SetSyscalls(BothFail);
    REQUIRE(Test(TestRequest(true)).ok());
    REQUIRE(verdict.result() == pb::COMPAT_RESULT_INCOMPATIBLE);
    world().SetProgram(RunsOn);
  }

  void SetSetting(const std::string& name, const std::string& value) {
    ChangeMachine([&](MachineFacts& facts) { facts.settings[name] = Setting(value); });
  }

  pb::CheckNodeResponse Doctor() {
    pb::CheckNodeResponse response;
    Call call;
    REQUIRE(nodes->CheckNode(&call, {}, &response).ok());
    return response;
  }

  // What the events say of the node's hardening.
  std::vector<std::string> Told() {
    std::vector<std::string> types;
    for (const pb::Event& event : EventsOf("node")) {
      if (event.type().starts_with("node.hardening")) types.push_back(event.type());
    }
    return types;
  }
};

const pb::NodeCheck& Find(const pb::CheckNodeResponse& response, const std::string& id) {
  const auto it = std::find_if(response.checks().begin(), response.checks().end(),
                               [&](const pb::NodeCheck& check) { return check.id() == id; });
  REQUIRE(it != response.checks().end());
  return *it;
}

TEST_CASE_METHOD(HardenedFixture, "hardened: legacy code runs there, and the record says why") {
  const pb::Node node = GetNode();
  CHECK(node.node_class() == "hardened");
  CHECK(node.hardened());
  CHECK(node.ready());
  const pb::Sandbox sandbox = Create(Request("legacy"));
  CHECK(sandbox.isolation_class() == pb::ISOLATION_CLASS_LEGACY_HARDENED);
  CHECK(sandbox.driver() == "hardened");
  CHECK(sandbox.decision().rule() == "legacy-on-hardened");
  CHECK(sandbox.decision().node_class() == "hardened");
  CHECK(sandbox.decision().compat() == "INCOMPATIBLE");
  CHECK(Told().empty());
}

TEST_CASE_METHOD(HardenedFixture,
                 "hardened: a node that no longer is takes nothing new, and says so") {
  const pb::Sandbox before = Create(Request("before"));
  SetSetting("kernel.unprivileged_bpf_disabled", "0");
  SECTION("the doctor finds it") { CHECK_FALSE(Doctor().hardened()); }
  SECTION("the next start finds it") {}
  const grpc::Status refused = TryCreate(Request("after"));
  CHECK(refused.error_code() == grpc::PERMISSION_DENIED);
  CHECK(ReasonOf(refused) == "NODE_NOT_HARDENED");
  CHECK_THAT(refused.error_message(),
             Contains("kernel.unprivileged_bpf_disabled is 0") && Contains("clawctl node doctor"));
  const pb::Node lost = GetNode();
  CHECK_FALSE(lost.hardened());
  CHECK_FALSE(lost.ready());
  REQUIRE(lost.conditions_size() == 1);
  CHECK_THAT(lost.conditions(0), Contains("takes no new legacy work: ") &&
                                     Contains("kernel.unprivileged_bpf_disabled is 0"));
  CHECK(Told() == std::vector<std::string>{"node.hardening_lost"});
  // What runs already goes on.
  CHECK(Get(before.name()).state() == pb::SANDBOX_STATE_RUNNING);

  SetSetting("kernel.unprivileged_bpf_disabled", "1");
  CHECK(Create(Request("again")).isolation_class() == pb::ISOLATION_CLASS_LEGACY_HARDENED);
  CHECK(GetNode().ready());
  CHECK(Told() == std::vector<std::string>{"node.hardening_lost", "node.hardening_regained"});
  // An event for each change, not for each look.
  CHECK(Doctor().hardened());
  CHECK(Told().size() == 2);
}

TEST_CASE_METHOD(HardenedFixture, "hardened: a start does not outrun what is found meanwhile") {
  const auto gate = world().Block(drivers::Step::kCreate);
  auto started = std::async(std::launch::async, [&] { return TryCreate(Request("late")); });
  REQUIRE(gate->AwaitArrival());
  SetSetting("kernel.kexec_load_disabled", "0");
  CHECK_FALSE(Doctor().hardened());
  gate->Release();
  const grpc::Status status = started.get();
  CHECK(ReasonOf(status) == "POLICY_CHANGED");
  CHECK(DetailOf(status).constraint() == "hardened-not-proven");
  CHECK(world().ids().empty());
}

TEST_CASE_METHOD(HardenedFixture, "hardened: an agent that comes up on a soft machine says so") {
  ChangeMachine([](MachineFacts& facts) { facts.settings.erase("kernel.core_pattern"); });
  Restart();
  CHECK_FALSE(GetNode().ready());
  CHECK(Told() == std::vector<std::string>{"node.hardening_lost"});
  CHECK(ReasonOf(TryCreate(Request())) == "NODE_NOT_HARDENED");
}

TEST_CASE_METHOD(HardenedFixture, "hardened: nothing but one tenant's legacy code") {
  pb::CreateTenantRequest other;
  other.set_tenant_id("other");
  pb::Tenant made;
  Call add_other;
  REQUIRE(tenants->CreateTenant(&add_other, other, &made).ok());
  other.set_tenant_id("friend");
  other.set_trust(pb::TRUST_TRUSTED);
  Call add_friend;
  REQUIRE(tenants->CreateTenant(&add_friend, other, &made).ok());
  const auto for_tenant = [](const std::string& tenant) {
    pb::CreateSandboxRequest request = Request();
    request.mutable_spec()->set_tenant("tenants/" + tenant);
    return request;
  };
  const pb::Sandbox first = Create(Request());
  const grpc::Status taken = TryCreate(for_tenant("other"));
  CHECK(ReasonOf(taken) == "NODE_TAKEN");
  CHECK(DetailOf(taken).available() == "acme");
  CHECK(ReasonOf(TryCreate(for_tenant("friend"))) == "NODE_HARDENED");
  pb::CreateSandboxRequest mounts = Request();
  mounts.mutable_spec()->add_mounts()->set_source("/tmp");
  mounts.mutable_spec()->mutable_mounts(0)->set_destination("/host");
  CHECK(ReasonOf(TryCreate(mounts)) == "MOUNT_NOT_ALLOWED");
  Import("untested");
  pb::CreateSandboxRequest untested = Request();
  untested.mutable_spec()->set_image("untested");
  CHECK(ReasonOf(TryCreate(untested)) == "NODE_HARDENED");
  REQUIRE(Delete(first.name()).ok());
  CHECK(TryCreate(for_tenant("other")).ok());
}

TEST_CASE_METHOD(HardenedFixture, "hardened: legacy code ends on a node that is standard again") {
  const pb::Sandbox legacy = Create(Request("legacy"));
  config().node_class = NodeClass::kStandard;
  Restart();
  const pb::Sandbox ended = Get(legacy.name());
  CHECK(ended.state() == pb::SANDBOX_STATE_EXITED);
  CHECK(ended.exit().reason() == pb::END_REASON_REVOKED);
  CHECK(ReasonOf(TryCreate(Request())) == "COMPAT_INCOMPATIBLE");
}

TEST_CASE_METHOD(HardenedFixture,
                 "hardened: the doctor's checks have evidence, and a fix if one fails") {
  const pb::CheckNodeResponse good = Doctor();
  CHECK(good.node_class() == "hardened");
  CHECK(good.hardened());
  CHECK(good.checks_size() > 25);
  std::map<std::string, int> ids;
  for (const pb::NodeCheck& check : good.checks()) {
    CAPTURE(check.id());
    CHECK(++ids[check.id()] == 1);
    CHECK(check.outcome() == pb::NodeCheck::PASSED);
    CHECK_FALSE(check.title().empty());
    CHECK_FALSE(check.evidence().empty());
    CHECK(check.fix().empty());
  }
  CHECK_FALSE(Find(good, "driver.gvisor").for_hardened());
  CHECK(Find(good, "legacy.seccomp").for_hardened());

  SetSetting("kernel.core_pattern", "|/bin/crash");
  SetSetting("kernel.dmesg_restrict", "0");
  const pb::CheckNodeResponse bad = Doctor();
  CHECK_FALSE(bad.hardened());
  const pb::NodeCheck& core = Find(bad, "kernel.core-pattern");
  CHECK(core.outcome() == pb::NodeCheck::FAILED);
  CHECK(core.evidence() == "kernel.core_pattern is |/bin/crash");
  CHECK(core.fix() == "sysctl -w kernel.core_pattern=core");
  CHECK(Find(bad, "kernel.dmesg-restrict").outcome() == pb::NodeCheck::WARNING);

  config().node_class = NodeClass::kStandard;
  Restart();
  const pb::CheckNodeResponse standard = Doctor();
  CHECK(standard.node_class() == "standard");
  CHECK_FALSE(standard.hardened());
  CHECK(Find(standard, "kernel.core-pattern").outcome() == pb::NodeCheck::WARNING);
  CHECK(GetNode().ready());
}

TEST_CASE_METHOD(HardenedFixture, "hardened: the doctor sees a driver that fails") {
  world().Fail(drivers::Step::kProbe, Internal("no runtime"), 3);
  Restart();
  const pb::CheckNodeResponse response = Doctor();
  for (const char* driver : {"driver.runc", "driver.gvisor", "driver.hardened"}) {
    CHECK(Find(response, driver).outcome() == pb::NodeCheck::FAILED);
    CHECK_THAT(Find(response, driver).evidence(), Contains("no runtime"));
  }
  CHECK(Find(response, "legacy.seccomp").outcome() == pb::NodeCheck::FAILED);
  CHECK_FALSE(response.hardened());
}

}  // namespace
}  // namespace claw::test
