#include <unistd.h>

#include "tests/unit/rpc/service_fixture.h"

namespace claw::test {
namespace {

class TenantFixture : public ServiceFixture {
 public:
  grpc::Status Update(pb::Tenant& tenant, const std::vector<std::string>& fields) {
    pb::UpdateTenantRequest request;
    tenant.set_name("tenants/acme");
    *request.mutable_tenant() = tenant;
    for (const std::string& field : fields) request.mutable_update_mask()->add_paths(field);
    Call call;
    return tenants->UpdateTenant(&call, request, &tenant);
  }

  grpc::Status LowerTrust() {
    pb::Tenant tenant;
    tenant.set_trust(pb::TRUST_UNTRUSTED);
    return Update(tenant, {"trust"});
  }

  grpc::StatusCode CreateCode(const pb::CreateSandboxRequest& request) {
    return TryCreate(request).error_code();
  }
};

TEST_CASE_METHOD(TenantFixture, "tenants: containers end with the trust that they rest on (I1)") {
  Prepare(pb::TRUST_TRUSTED);
  const pb::Sandbox container = Create(Request("container"));
  REQUIRE(container.isolation_class() == pb::ISOLATION_CLASS_CONTAINER);
  pb::CreateSandboxRequest stronger = Request("stronger");
  stronger.mutable_spec()->set_isolation_class(pb::ISOLATION_CLASS_GVISOR);
  const pb::Sandbox gvisor = Create(stronger);
  REQUIRE(gvisor.isolation_class() == pb::ISOLATION_CLASS_GVISOR);
  REQUIRE(LowerTrust().ok());
  const pb::Sandbox ended = Get(container.name());
  CHECK(ended.state() == pb::SANDBOX_STATE_EXITED);
  CHECK(ended.exit().reason() == pb::END_REASON_REVOKED);
  CHECK(Get(gvisor.name()).state() == pb::SANDBOX_STATE_RUNNING);
  CHECK(Create(Request("next")).isolation_class() == pb::ISOLATION_CLASS_GVISOR);
}

TEST_CASE_METHOD(TenantFixture, "tenants: a start does not outrun a trust that is lowered (I1)") {
  const drivers::Step step = GENERATE(drivers::Step::kCreate, drivers::Step::kStart);
  Prepare(pb::TRUST_TRUSTED);
  const auto gate = world().Block(step);
  auto started = std::async(std::launch::async, [&] { return CreateCode(Request("late")); });
  REQUIRE(gate->AwaitArrival());
  auto lowered = std::async(std::launch::async, [&] { return LowerTrust(); });
  // In force before the start can go on, whoever waits for whom.
  for (pb::Tenant tenant; tenant.trust() != pb::TRUST_UNTRUSTED;) {
    pb::GetTenantRequest get;
    get.set_name("tenants/acme");
    Call call;
    REQUIRE(tenants->GetTenant(&call, get, &tenant).ok());
  }
  gate->Release();
  CHECK(started.get() == grpc::PERMISSION_DENIED);
  CHECK(lowered.get().ok());
  CHECK(world().ids().empty());
}

TEST_CASE_METHOD(TenantFixture, "tenants: a quota refuses what goes beyond it") {
  Prepare();
  pb::Tenant tenant;
  tenant.mutable_quota()->set_sandboxes(1);
  REQUIRE(Update(tenant, {"quota.sandboxes"}).ok());
  CHECK(tenant.quota().sandboxes() == 1);
  const pb::Sandbox first = Create(Request("first"));
  CHECK(CreateCode(Request("second")) == grpc::RESOURCE_EXHAUSTED);
  REQUIRE(Delete(first.name()).ok());
  CHECK(CreateCode(Request("second")) == grpc::OK);
}

TEST_CASE_METHOD(TenantFixture, "tenants: an update says what it changes") {
  Prepare();
  pb::Tenant tenant;
  CHECK(Update(tenant, {}).error_code() == grpc::INVALID_ARGUMENT);
  CHECK(Update(tenant, {"create_time"}).error_code() == grpc::INVALID_ARGUMENT);
  tenant.add_allowed_images("docker.io/library/busybox");
  CHECK(Update(tenant, {"allowed_images"}).error_code() == grpc::INVALID_ARGUMENT);
  tenant.Clear();
  tenant.add_allowed_images("sha256:" + std::string(64, 'a'));
  REQUIRE(Update(tenant, {"allowed_images"}).ok());
  CHECK(CreateCode(Request("denied")) == grpc::PERMISSION_DENIED);
}

TEST_CASE_METHOD(TenantFixture, "tenants: an event names who changed them") {
  Prepare(pb::TRUST_TRUSTED);
  REQUIRE(LowerTrust().ok());
  const std::vector<pb::Event> told = EventsOf("tenants/acme");
  REQUIRE(told.size() == 2);
  CHECK(told[1].type() == "tenant.trust_lowered");
  const std::string uid = "(" + std::to_string(::geteuid()) + ")";
  CHECK(told[1].actor().starts_with("unix:"));
  CHECK(told[1].actor().ends_with(uid));
}

}  // namespace
}  // namespace claw::test
