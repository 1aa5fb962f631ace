#include <algorithm>
#include <set>

#include "tests/unit/rpc/placement_fixture.h"

namespace claw::test {
namespace {

pb::ErrorDetail DetailOf(const grpc::Status& status) { return ServiceFixture::DetailOf(status); }

bool WasRefused(const grpc::Status& status) {
  return DetailOf(status).outcome() == pb::ErrorDetail::REFUSED;
}

lifecycle::NodeConfig Impatient() {
  lifecycle::NodeConfig config;
  config.shortest_look = std::chrono::milliseconds(0);
  return config;
}

TEST_CASE("a refusal says what stood in the way, and that nothing was done") {
  PlacementFixture node;
  node.Prepare();
  pb::ReserveRequest request = PlacementFixture::Wanted("too-much");
  request.mutable_spec()->set_workload_bytes(64 * kGiB);
  request.mutable_spec()->set_cpu_millis(5000);
  pb::Reservation none;
  const grpc::Status refused = node.TryReserve(request, &none);
  CHECK(WasRefused(refused));
  CHECK(DetailOf(refused).constraint() == "node.cpus");
  pb::RpcStatus details;
  REQUIRE(details.ParseFromString(refused.error_details()));
  REQUIRE(details.details_size() == 2);
  pb::Explanation explanation;
  REQUIRE(details.details(1).UnpackTo(&explanation));
  REQUIRE(explanation.constraints_size() == 2);
  CHECK(explanation.constraints(0).reason() == "CPU_EXHAUSTED");
  CHECK(explanation.constraints(1).name() == "node.memory.allocatable_bytes");
  CHECK(explanation.constraints(1).needed().find("bytes") != std::string::npos);
  CHECK(node.Charged() == 0);
  // It was refused without a trace: the same id may be used to ask for less.
  request.mutable_spec()->set_workload_bytes(64 * kMiB);
  request.mutable_spec()->set_cpu_millis(0);
  CHECK(node.TryReserve(request, &none).ok());
}

TEST_CASE("a commit that is refused says why, and does not count what it holds itself") {
  PlacementFixture node;
  node.Prepare();
  const pb::Reservation held = node.Reserve();
  node.Cordon("its fan howls");
  pb::Sandbox sandbox;
  const grpc::Status refused = node.TryCommit(held, "", &sandbox);
  CHECK(WasRefused(refused));
  pb::RpcStatus details;
  REQUIRE(details.ParseFromString(refused.error_details()));
  REQUIRE(details.details_size() == 2);
  pb::Explanation explanation;
  REQUIRE(details.details(1).UnpackTo(&explanation));
  REQUIRE(explanation.constraints_size() == 1);
  CHECK(explanation.constraints(0).reason() == "CORDONED");
}

TEST_CASE("a cordoned node takes nothing new, and neither does it after a restart") {
  PlacementFixture node;
  node.Prepare();
  const pb::Reservation held = node.Reserve();
  const pb::Node cordoned = node.Cordon("its fan howls");
  CHECK(cordoned.cordon().reason() == "its fan howls");
  CHECK_FALSE(cordoned.ready());
  node.Crash();
  CHECK(node.GetNode().cordon().reason() == "its fan howls");
  pb::Reservation none;
  const grpc::Status refused = node.TryReserve(PlacementFixture::Wanted(), &none);
  CHECK(DetailOf(refused).reason() == "CORDONED");
  CHECK(refused.error_message().find("its fan howls") != std::string::npos);
  pb::Sandbox sandbox;
  const grpc::Status late = node.TryCommit(held, "c", &sandbox);
  CHECK(DetailOf(late).reason() == "CORDONED");
  CHECK(WasRefused(late));
  CHECK(node.Reservations().size() == 1);
  CHECK_FALSE(node.Uncordon().has_cordon());
  CHECK(node.Commit(held, "c").state() == pb::SANDBOX_STATE_RUNNING);
  node.Restart();
  CHECK_FALSE(node.GetNode().has_cordon());
}

TEST_CASE("labels, taints, tenants and ceilings decide where a sandbox goes") {
  lifecycle::NodeConfig config = Impatient();
  config.labels = {{"zone", "a"}};
  config.taints = {{.key = "batch", .value = "only"}};
  config.min_free_disk_bytes = kGiB;
  PlacementFixture node(config);
  node.Prepare();
  pb::ReserveRequest request = PlacementFixture::Wanted();
  pb::SandboxSpec& spec = *request.mutable_spec();
  pb::Reservation made;
  const auto reason = [&] { return DetailOf(node.TryReserve(request, &made)).reason(); };
  CHECK(reason() == "NOT_TOLERATED");
  spec.add_tolerations("batch");
  CHECK(reason().empty());
  (*spec.mutable_node_selector())["zone"] = "b";
  CHECK(reason() == "LABELS_DIFFER");
  (*spec.mutable_node_selector())["zone"] = "a";
  node.ChangeRoom({.free_disk_bytes = kMiB, .free_tasks = 30'000});
  CHECK(reason() == "DISK_EXHAUSTED");
  node.ChangeRoom({.free_disk_bytes = 9 * kGiB, .free_tasks = 100});
  CHECK(reason() == "PIDS_EXHAUSTED");
  spec.set_pids_max(64);
  CHECK(reason().empty());
  spec.add_avoid_tenants("tenants/acme");
  CHECK(reason() == "INVALID_ARGUMENT");
  spec.clear_avoid_tenants();

  pb::CreateTenantRequest other;
  other.set_tenant_id("rival");
  pb::Tenant tenant;
  Call call;
  REQUIRE(node.tenants->CreateTenant(&call, other, &tenant).ok());
  spec.set_tenant("tenants/rival");
  spec.set_exclusive(true);
  CHECK(reason() == "NOT_ALONE");
  spec.set_exclusive(false);
  spec.add_avoid_tenants("tenants/acme");
  CHECK(reason() == "TENANTS_APART");
  for (const pb::Reservation& one : node.Reservations()) REQUIRE(node.Release(one).ok());
  CHECK(reason().empty());
  spec.set_tenant("tenants/acme");
  spec.clear_avoid_tenants();
  CHECK(reason() == "TENANTS_APART");
}

TEST_CASE("explain names every constraint and leaves nothing behind") {
  PlacementFixture node;
  node.Prepare();
  node.Reserve();
  const pb::Node before = node.GetNode();
  pb::SandboxSpec spec = PlacementFixture::Wanted().spec();
  const pb::Explanation fits = node.Explain(spec);
  CHECK(fits.fits());
  CHECK(fits.driver() == "gvisor");
  CHECK(fits.score().total() > 0);
  std::set<std::string> names;
  for (const pb::Constraint& one : fits.constraints()) {
    CHECK(one.met());
    CHECK_FALSE(one.needed().empty());
    CHECK_FALSE(one.available().empty());
    names.insert(one.name());
  }
  for (const char* name :
       {"image.architecture", "isolation", "exclusive", "avoid_tenants", "node_selector",
        "tolerations", "node.cordon", "node.cpus", "node.pids", "node.memory.allocatable_bytes"}) {
    INFO(name);
    CHECK(names.count(name) == 1);
  }
  spec.set_workload_bytes(kGiB * 100);
  node.Cordon("");
  const pb::Explanation full = node.Explain(spec);
  CHECK_FALSE(full.fits());
  std::vector<std::string> unmet;
  for (const pb::Constraint& one : full.constraints()) {
    if (one.met()) continue;
    CHECK_FALSE(one.problem().empty());
    unmet.push_back(one.name());
  }
  CHECK(unmet == std::vector<std::string>{"node.cordon", "node.memory.allocatable_bytes"});
  node.Uncordon();
  const pb::Node after = node.GetNode();
  CHECK(after.memory().charged_bytes() == before.memory().charged_bytes());
  CHECK(after.total_sandboxes() == before.total_sandboxes());
}

TEST_CASE("a watch of the node says what has changed, and goes on where it was") {
  PlacementFixture node;
  node.Prepare();
  pb::WatchNodeRequest request;
  request.mutable_min_interval()->set_nanos(50'000'000);
  int64_t revision = 0;
  pb::Reservation held;
  {
    Call call;
    const auto stream = node.nodes->WatchNode(&call, request);
    pb::NodeChange change;
    REQUIRE(stream->Read(&change));
    CHECK(change.node().memory().charged_bytes() == 0);
    held = node.Reserve();
    do {
      REQUIRE(stream->Read(&change));
    } while (change.node().memory().charged_bytes() == 0);
    revision = change.revision();
    CHECK(revision > 0);
    call.Cancel();
  }
  request.set_resume_revision(node.GetNode().revision());
  Call call;
  const auto stream = node.nodes->WatchNode(&call, request);
  // Nothing has happened since, so the first that comes is of what happens now.
  REQUIRE(node.Release(held).ok());
  pb::NodeChange change;
  REQUIRE(stream->Read(&change));
  CHECK(change.node().memory().charged_bytes() == 0);
  CHECK(change.revision() > revision);
  call.Cancel();
  request.set_resume_revision(1'000'000'000);
  Call future;
  const auto none = node.nodes->WatchNode(&future, request);
  CHECK_FALSE(none->Read(&change));
  CHECK(DetailOf(none->Finish()).reason() == "REVISION_UNKNOWN");
}

TEST_CASE("what a node that was damaged does not know of itself keeps it closed") {
  PlacementFixture node;
  node.Prepare();
  node.Cordon("under repair");
  node.Uncordon();
  node.Damage("UPDATE node_state SET body = replace(body, 'false', 'maybe')");
  CHECK(node.GetNode().cordon().cordoned_by() == "agent");
  node.Restart();
  CHECK(node.GetNode().cordon().reason().find("damaged") != std::string::npos);
  pb::Reservation none;
  CHECK(DetailOf(node.TryReserve(PlacementFixture::Wanted(), &none)).reason() == "CORDONED");
  node.Uncordon();
  node.Reserve();
}

TEST_CASE("the details of a refusal fit where gRPC puts them, whatever was asked for") {
  lifecycle::NodeConfig config;
  for (int i = 0; i < 60; ++i) config.labels[StrCat("label-", i)] = std::string(1000, 'x');
  PlacementFixture node(config);
  node.Prepare();
  pb::ReserveRequest request = PlacementFixture::Wanted();
  for (int i = 0; i < 64; ++i) {
    (*request.mutable_spec()->mutable_node_selector())[StrCat("wanted-", i)] =
        std::string(1000, 'y');
  }
  request.mutable_spec()->set_cpu_millis(9000);
  request.mutable_spec()->set_workload_bytes(kGiB * 100);
  pb::Reservation none;
  const grpc::Status refused = node.TryReserve(request, &none);
  CHECK(DetailOf(refused).reason() == "LABELS_DIFFER");
  CHECK(WasRefused(refused));
  pb::RpcStatus details;
  REQUIRE(details.ParseFromString(refused.error_details()));
  CHECK(details.details_size() == 2);
  CHECK(refused.error_details().size() < 6000);
}

TEST_CASE("bad requests for places are named") {
  PlacementFixture node;
  node.Prepare();
  pb::ReserveRequest request = PlacementFixture::Wanted();
  pb::Reservation none;
  const auto constraint = [&] { return DetailOf(node.TryReserve(request, &none)).constraint(); };
  for (const int64_t seconds : {int64_t{-1}, int64_t{0}, int64_t{3601}, int64_t{1} << 40}) {
    request.mutable_ttl()->set_seconds(seconds);
    CHECK(constraint() == "ttl");
  }
  request.clear_ttl();
  request.mutable_spec()->add_tolerations("=x");
  CHECK(constraint() == "tolerations");
  request.mutable_spec()->clear_tolerations();
  (*request.mutable_spec()->mutable_node_selector())[""] = "x";
  CHECK(constraint() == "node_selector");
  pb::ReserveBatchRequest batch;
  pb::ReserveBatchResponse response;
  Call call;
  CHECK(DetailOf(node.placement->ReserveBatch(&call, batch, &response)).constraint() == "items");
  for (int i = 0; i < 20; ++i) {
    *batch.add_items()->mutable_spec() = PlacementFixture::Wanted().spec();
    batch.mutable_items(i)->mutable_spec()->add_env("A=" + std::string(100'000, 'x'));
  }
  Call large;
  const grpc::Status too_large = node.placement->ReserveBatch(&large, batch, &response);
  CHECK(DetailOf(too_large).constraint() == "items");
  CHECK(WasRefused(too_large));
  pb::Reservation odd;
  for (const char* name : {"", "reservations/", "reservations/../x", "sandboxes/abc"}) {
    odd.set_name(name);
    CHECK(DetailOf(node.Release(odd)).constraint() == "name");
  }
}

}  // namespace
}  // namespace claw::test
