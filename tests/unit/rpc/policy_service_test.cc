// What the policy rests on, as it changes while a node lives: time, versions, quotas, the config.

#include "agent/app/node_config.h"
#include "tests/unit/rpc/compat_fixture.h"

namespace claw::test {
namespace {

using Catch::Contains;
using drivers::Step;
using std::chrono::hours;

TEST_CASE_METHOD(CompatFixture, "policy: an override that has expired counts no more") {
  grpc::Status status;
  Override(&status, app, 3600);
  REQUIRE(status.ok());
  const pb::Sandbox running = Create(Request("running"));
  CHECK(running.decision().rule() == "untrusted-override");
  clock().Advance(std::chrono::minutes(59));
  CHECK(TryCreate(Request()).ok());
  clock().Advance(std::chrono::minutes(1));
  const grpc::Status refused = TryCreate(Request());
  CHECK(refused.error_code() == grpc::PERMISSION_DENIED);
  CHECK(ReasonOf(refused) == "COMPAT_UNTESTED");
  CHECK_THAT(refused.error_message(), Contains("`clawctl node compat test app`"));
  CHECK(Get(running.name()).state() == pb::SANDBOX_STATE_RUNNING);
  pb::ListOverridesResponse list;
  Call call;
  REQUIRE(compat->ListOverrides(&call, {}, &list).ok());
  CHECK(list.overrides_size() == 0);
  CHECK(EventsOf(app).back().type() == "compat.override_expired");
}

TEST_CASE_METHOD(CompatFixture, "policy: a start does not outlive the override that it rests on") {
  grpc::Status status;
  Override(&status, app, 3600);
  REQUIRE(status.ok());
  const auto gate = world().Block(GENERATE(Step::kCreate, Step::kStart));
  auto started = std::async(std::launch::async, [&] { return TryCreate(Request("late")); });
  REQUIRE(gate->AwaitArrival());
  clock().Advance(hours(1));
  gate->Release();
  const grpc::Status refused = started.get();
  CHECK(ReasonOf(refused) == "POLICY_CHANGED");
  CHECK(DetailOf(refused).constraint() == "untrusted-untested");
  CHECK(world().ids().empty());
  CHECK(Charged() == 0);
}

TEST_CASE_METHOD(CompatFixture, "policy: an override that expired while no agent ran is gone") {
  grpc::Status status;
  Override(&status, app, 3600);
  REQUIRE(status.ok());
  clock().Advance(hours(2));
  Restart();
  CHECK(EventsOf(app).back().type() == "compat.override_expired");
  CHECK(ReasonOf(TryCreate(Request())) == "COMPAT_UNTESTED");
}

TEST_CASE_METHOD(CompatFixture, "policy: another version of gVisor makes a verdict stale") {
  world().SetProgram(Copes);
  REQUIRE(Test(TestRequest(false)).ok());
  world().SetProgram(RunsOn);
  const pb::Sandbox before = Create(Request("before"));
  CHECK(before.decision().rule() == "untrusted-compatible");
  world().SetRuntimeVersion("2.0");
  const grpc::Status refused = TryCreate(Request("after"));
  CHECK(refused.error_code() == grpc::PERMISSION_DENIED);
  CHECK(ReasonOf(refused) == "COMPAT_STALE");
  CHECK_THAT(refused.error_message(), Contains("`clawctl node compat test app`"));
  CHECK(Get(before.name()).state() == pb::SANDBOX_STATE_RUNNING);
  pb::GetVerdictRequest get;
  get.set_image("images/app");
  pb::Verdict known;
  Call get_call;
  REQUIRE(compat->GetVerdict(&get_call, get, &known).ok());
  CHECK(known.stale());
  CHECK(known.runtime_version() == "1.0");
  pb::AcceptVerdictRequest accept;
  accept.set_image("images/app");
  Call accept_call;
  CHECK(ReasonOf(compat->AcceptVerdict(&accept_call, accept, &known)) == "VERDICT_STALE");

  world().SetProgram(Copes);
  REQUIRE(Test(TestRequest(false)).ok());
  CHECK(verdict.runtime_version() == "2.0");
  CHECK(TryCreate(Request("after")).ok());
  // The old one counts again when the old gVisor does.
  world().SetRuntimeVersion("1.0");
  CHECK(TryCreate(Request("back")).ok());
  REQUIRE(Run(node().DeleteVerdict({.actor = "test"}, "app", false)).ok());
  CHECK(ReasonOf(TryCreate(Request("none"))) == "COMPAT_UNTESTED");
}

TEST_CASE_METHOD(CompatFixture,
                 "policy: an agent that ends in a test leaves no verdict, and nothing") {
  world().SetProgram(RunsOn);
  const bool baseline = GENERATE(false, true);
  const bool crashes = GENERATE(false, true);
  CAPTURE(baseline, crashes);
  const auto gate = world().Block(Step::kStart);
  Call call;
  const auto stream = compat->TestImage(&call, TestRequest(baseline));
  REQUIRE(gate->AwaitArrival());
  gate->Release();
  // What cannot be removed any more is what a crash leaves behind, until the next agent comes up.
  std::atomic<size_t> left = 0;
  if (crashes)
    world().Fail(Step::kDestroy, Unavailable("the agent is gone"), drivers::FakeWorld::kAlways);
  world().OnStep(Step::kProbe, [&](const std::string&) {
    left = world().ids().size();
    world().Heal(Step::kDestroy);
  });
  Restart();
  world().OnStep(Step::kProbe, nullptr);
  for (pb::TestImageProgress progress; stream->Read(&progress);)
    CHECK_FALSE(progress.has_verdict());
  CHECK_FALSE(stream->Finish().ok());
  CHECK(left == (crashes ? 1 : 0));
  CHECK(world().ids().empty());
  CHECK(Charged() == 0);
  CHECK(node().ListVerdicts().empty());
  CHECK(node().ListSandboxes().empty());
  CHECK(ReasonOf(TryCreate(Request())) == "COMPAT_UNTESTED");
}

TEST_CASE_METHOD(CompatFixture, "policy: only so many tests at a time") {
  const auto first = world().Block(Step::kCreate);
  const auto second = world().Block(Step::kCreate);
  world().SetProgram(Copes);
  std::vector<std::unique_ptr<Call>> calls;
  std::vector<std::unique_ptr<grpc::ClientReader<pb::TestImageProgress>>> streams;
  for (const auto* gate : {&first, &second}) {
    calls.push_back(std::make_unique<Call>());
    streams.push_back(compat->TestImage(calls.back().get(), TestRequest(false)));
    REQUIRE((*gate)->AwaitArrival());
  }
  const grpc::Status refused = Test(TestRequest(false));
  CHECK(refused.error_code() == grpc::RESOURCE_EXHAUSTED);
  CHECK(ReasonOf(refused) == "TOO_MANY_TESTS");
  CHECK(DetailOf(refused).has_retry_after());
  first->Release();
  second->Release();
  for (const auto& stream : streams) {
    for (pb::TestImageProgress progress; stream->Read(&progress);) {
    }
    CHECK(stream->Finish().ok());
  }
  CHECK(Test(TestRequest(false)).ok());
}

TEST_CASE_METHOD(CompatFixture, "policy: a runtime that is gone is what a start is refused for") {
  world().SetProgram(Copes);
  REQUIRE(Test(TestRequest(false)).ok());
  world().SetProgram(RunsOn);
  REQUIRE(TryCreate(Request()).ok());
  // The agent's drivers look once, when it comes up.
  world().Fail(Step::kProbe, Internal("no such program"), 3);
  Restart();
  const grpc::Status refused = TryCreate(Request());
  CHECK(refused.error_code() == grpc::FAILED_PRECONDITION);
  CHECK(ReasonOf(refused) == "RUNTIME_MISSING");
  CHECK(DetailOf(refused).available() == "driver gvisor: no such program");
  CHECK(ReasonOf(Test(TestRequest(false))) == "RUNTIME_MISSING");
  CHECK(world().running().size() == 1);
}

class QuotaFixture : public ServiceFixture {
 public:
  QuotaFixture() { Prepare(); }

  void SetQuota(const TenantQuota& quota) {
    const lifecycle::TenantPatch patch{.quota_sandboxes = quota.sandboxes,
                                       .quota_workload_bytes = quota.workload_bytes,
                                       .quota_cpu_millis = quota.cpu_millis};
    REQUIRE(Run(node().UpdateTenant({.actor = "test"}, "acme", patch)).ok());
  }

  static pb::CreateSandboxRequest Sized(int64_t bytes, int64_t cpu_millis) {
    pb::CreateSandboxRequest request = Request();
    request.mutable_spec()->set_workload_bytes(bytes);
    request.mutable_spec()->set_cpu_millis(cpu_millis);
    return request;
  }

  // The refusal's "CONSTRAINT: NEEDED of AVAILABLE".
  std::string Refusal(const pb::CreateSandboxRequest& request) {
    const grpc::Status status = TryCreate(request);
    CHECK(status.error_code() == grpc::RESOURCE_EXHAUSTED);
    const pb::ErrorDetail detail = DetailOf(status);
    CHECK(detail.reason() == "QUOTA_EXCEEDED");
    return StrCat(detail.constraint(), ": ", detail.needed(), " of ", detail.available());
  }
};

TEST_CASE_METHOD(QuotaFixture, "policy: a quota of memory is of what the tenant asked for") {
  SetQuota({.workload_bytes = 256 * kMiB});
  CHECK(Refusal(Sized(257 * kMiB, 0)) == "quota.workload_bytes: 257 MiB of 256 MiB");
  const pb::Sandbox first = Create(Sized(200 * kMiB, 0));
  CHECK(Refusal(Sized(100 * kMiB, 0)) == "quota.workload_bytes: 100 MiB of 56 MiB");
  CHECK(TryCreate(Sized(56 * kMiB, 0)).ok());
  REQUIRE(Delete(first.name()).ok());
  CHECK(TryCreate(Sized(200 * kMiB, 0)).ok());
}

TEST_CASE_METHOD(QuotaFixture, "policy: a quota of CPU is of ceilings, and asks for one") {
  SetQuota({.cpu_millis = 1500});
  CHECK(ReasonOf(TryCreate(Sized(64 * kMiB, 0))) == "CPU_UNBOUNDED");
  CHECK(TryCreate(Sized(64 * kMiB, 1000)).ok());
  CHECK(Refusal(Sized(64 * kMiB, 501)) == "quota.cpu_millis: 501 of 500");
  CHECK(TryCreate(Sized(64 * kMiB, 500)).ok());
}

TEST_CASE_METHOD(QuotaFixture, "policy: a program that has ended counts until its memory is free") {
  SetQuota({.sandboxes = 1});
  world().Fail(Step::kDestroy, Unavailable("busy"), drivers::FakeWorld::kAlways);
  const pb::Sandbox first = Create(Request());
  REQUIRE(world().Exit(IdOf(first), 0).ok());
  pb::WaitSandboxRequest wait;
  wait.set_name(first.name());
  pb::Sandbox ended;
  Call call;
  REQUIRE(sandboxes->WaitSandbox(&call, wait, &ended).ok());
  CHECK(Refusal(Request()) == "quota.sandboxes: 1 of 0");
  world().Heal(Step::kDestroy);
  REQUIRE(Delete(first.name()).ok());
  CHECK(TryCreate(Request()).ok());
}

// The node that a config file makes.
lifecycle::NodeConfig FromToml(const std::string& text) {
  const StatusOr<Config> config = ParseConfig(text, "clawlet.toml");
  REQUIRE(config.ok());
  const auto made = MakeNodeConfig(*config, {.hostname = "host", .memory_bytes = 8 * kGiB});
  REQUIRE(made.ok());
  return *made;
}

// The same node without the key and with it; what a test finds has to differ.
class ConfigFixture : public CompatFixture {
 public:
  void Take(const std::string& text) {
    const lifecycle::NodeConfig taken = FromToml(text);
    config().node_class = taken.node_class;
    config().rules = taken.rules;
    config().signers = taken.signers;
    config().allow_compat_baseline = taken.allow_compat_baseline;
    config().max_override_time = taken.max_override_time;
    Restart();
  }

  void TrustTenant() {
    const lifecycle::TenantPatch patch{.trust = Trust::kTrusted};
    REQUIRE(Run(node().UpdateTenant({.actor = "test"}, "acme", patch)).ok());
  }

  std::string RuleOf(const pb::CreateSandboxRequest& request) {
    pb::Sandbox sandbox;
    Call call;
    const grpc::Status status = sandboxes->CreateSandbox(&call, request, &sandbox);
    return status.ok() ? sandbox.decision().rule() : ReasonOf(status);
  }
};

TEST_CASE_METHOD(ConfigFixture, "config: node.class decides what a node takes") {
  TrustTenant();
  CHECK(RuleOf(Request()) == "trusted-container");
  Take("[node]\nclass = \"hardened\"");
  CHECK(GetNode().node_class() == "hardened");
  CHECK(RuleOf(Request()) == "NODE_HARDENED");
}

TEST_CASE_METHOD(ConfigFixture, "config: policy.trusted_class decides where trusted code runs") {
  TrustTenant();
  CHECK(RuleOf(Request()) == "trusted-container");
  Take("[policy]\ntrusted_class = \"gvisor\"");
  CHECK(RuleOf(Request()) == "trusted-in-gvisor");
}

TEST_CASE_METHOD(ConfigFixture,
                 "config: policy.accept_degraded decides whether acceptance counts") {
  world().SetProgram(Copes);
  world().SetSyscalls(BothFail);
  REQUIRE(Test(TestRequest(true)).ok());
  CHECK(RuleOf(Request()) == "COMPAT_DEGRADED");
  REQUIRE(Run(node().AcceptVerdict({.actor = "test"}, "app")).ok());
  CHECK(RuleOf(Request()) == "untrusted-accepted");
  Take("[policy]\naccept_degraded = false");
  CHECK(RuleOf(Request()) == "COMPAT_DEGRADED");
}

TEST_CASE_METHOD(ConfigFixture, "config: policy.allow_overrides decides whether they count") {
  grpc::Status status;
  Override(&status, app, 3600);
  REQUIRE(status.ok());
  CHECK(RuleOf(Request()) == "untrusted-override");
  Take("[policy]\nallow_overrides = false");
  CHECK(RuleOf(Request()) == "COMPAT_UNTESTED");
}

TEST_CASE_METHOD(ConfigFixture, "config: policy.require_signer refuses what nobody signed") {
  world().SetProgram(Copes);
  REQUIRE(Test(TestRequest(false)).ok());
  CHECK(RuleOf(Request()) == "untrusted-compatible");
  Take("[policy]\nrequire_signer = true");
  CHECK(RuleOf(Request()) == "SIGNER_REQUIRED");
}

TEST_CASE_METHOD(ConfigFixture, "config: a signature counts for as long as its signer is named") {
  world().SetProgram(Copes);
  const std::string rules = "[policy]\nrequire_signer = true\n";
  Take(rules + "[signers.release]\nkey = \"/keys/release.gpg\"");
  const auto image = Run(node().ImportImage({}, "rootfs:/app", "app", "release", {}, {}));
  REQUIRE(image.ok());
  REQUIRE(image->front().signers == std::vector<std::string>{"release"});
  REQUIRE(Test(TestRequest(false)).ok());
  const pb::Sandbox sandbox = Create(Request());
  CHECK(sandbox.decision().rule() == "untrusted-compatible");
  CHECK(sandbox.decision().signers(0) == "release");
  lifecycle::TenantPatch patch;
  patch.allowed_images = {"signer:friend"};
  REQUIRE(Run(node().UpdateTenant({.actor = "test"}, "acme", patch)).ok());
  CHECK(RuleOf(Request()) == "IMAGE_NOT_ALLOWED");
  patch.allowed_images = {"signer:release"};
  REQUIRE(Run(node().UpdateTenant({.actor = "test"}, "acme", patch)).ok());
  CHECK(RuleOf(Request()) == "untrusted-compatible");
  Take(rules);
  CHECK(RuleOf(Request()) != "untrusted-compatible");
  patch.allowed_images = std::vector<std::string>();
  REQUIRE(Run(node().UpdateTenant({.actor = "test"}, "acme", patch)).ok());
  CHECK(RuleOf(Request()) == "SIGNER_REQUIRED");
}

TEST_CASE_METHOD(ConfigFixture, "config: policy.compat_baseline decides whether runc is asked") {
  world().SetProgram(Copes);
  CHECK(Test(TestRequest(true)).ok());
  Take("[policy]\ncompat_baseline = false");
  const grpc::Status refused = Test(TestRequest(true));
  CHECK(refused.error_code() == grpc::FAILED_PRECONDITION);
  CHECK(ReasonOf(refused) == "BASELINE_FORBIDDEN");
  CHECK(Test(TestRequest(false)).ok());
}

TEST_CASE_METHOD(ConfigFixture, "config: policy.max_override_hours bounds how long one lives") {
  grpc::Status status;
  Override(&status, app, 24 * 3600 + 1);
  CHECK(status.ok());
  Take("[policy]\nmax_override_hours = 24");
  Override(&status, app, 24 * 3600 + 1);
  CHECK(status.error_code() == grpc::INVALID_ARGUMENT);
  CHECK(DetailOf(status).constraint() == "ttl");
  Override(&status, app, 24 * 3600);
  CHECK(status.ok());
}

TEST_CASE("config: a node that cannot be as the config says is refused") {
  const host::HostInfo host{.hostname = "host", .memory_bytes = 8 * kGiB};
  CHECK(MakeNodeConfig(*ParseConfig("", "f"), host)->node_id == "host");
  CHECK(MakeNodeConfig(*ParseConfig("", "f"), host)->capacity_bytes == 8 * kGiB);
  CHECK(MakeNodeConfig(*ParseConfig("[events]\nkeep = 1234", "f"), host)->max_events == 1234);
  const auto large = MakeNodeConfig(*ParseConfig("[node]\nmemory = \"9Gi\"", "f"), host);
  CHECK(large.status().code() == StatusCode::kInvalidArgument);
  const auto nothing = MakeNodeConfig(*ParseConfig("[reserves]\nsystem = \"8Gi\"", "f"), host);
  CHECK(nothing.status().code() == StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace claw::test
