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

TEST_CASE("a place is held, charged, and becomes the sandbox it was held for") {
  PlacementFixture node;
  node.Prepare();
  const pb::Reservation held = node.Reserve();
  CHECK(held.name() == "reservations/" + ServiceFixture::IdOf(held.sandbox()));
  CHECK(held.sandbox().state() == pb::SANDBOX_STATE_RESERVED);
  CHECK(held.sandbox().isolation_class() == pb::ISOLATION_CLASS_GVISOR);
  CHECK(held.has_expire_time());
  CHECK(held.boot_id() == "boot");
  CHECK(node.world().ids().empty());
  const int64_t charge = held.sandbox().resources().memory().cgroup_max_bytes();
  CHECK(charge > 128 * kMiB);
  CHECK(node.Charged() == charge);
  CHECK(node.Reservations().size() == 1);
  CHECK(node.Get(held.sandbox().name()).has_lease_expire_time());

  const pb::Sandbox running = node.Commit(held, "commit-1");
  CHECK(running.name() == held.sandbox().name());
  CHECK(running.state() == pb::SANDBOX_STATE_RUNNING);
  CHECK_FALSE(running.has_lease_expire_time());
  CHECK(node.Charged() == charge);
  CHECK(node.Reservations().empty());
  // Once more, and it is the same one.
  CHECK(node.Commit(held, "commit-1").name() == running.name());
  CHECK(node.world().running().size() == 1);
  pb::Sandbox other;
  const grpc::Status again = node.TryCommit(held, "commit-2", &other);
  CHECK(DetailOf(again).reason() == "COMMITTED");
  CHECK(WasRefused(again));
  CHECK(DetailOf(node.Release(held)).reason() == "COMMITTED");
  CHECK(node.Get(running.name()).state() == pb::SANDBOX_STATE_RUNNING);
}

TEST_CASE("a place that is released is free, and nobody can commit it") {
  PlacementFixture node;
  node.Prepare();
  const pb::Reservation held = node.Reserve();
  REQUIRE(node.Release(held).ok());
  CHECK(node.Charged() == 0);
  CHECK(DetailOf(node.Release(held)).reason() == "RESERVATION_NOT_FOUND");
  CHECK(node.Release(held, true).ok());
  pb::Sandbox sandbox;
  const grpc::Status late = node.TryCommit(held, "late", &sandbox);
  CHECK(late.error_code() == grpc::StatusCode::NOT_FOUND);
  CHECK(WasRefused(late));
  // To delete what is only held releases it, too.
  const pb::Reservation second = node.Reserve();
  REQUIRE(node.Delete(second.sandbox().name()).ok());
  CHECK(node.Reservations().empty());
  CHECK(node.Charged() == 0);
}

TEST_CASE("a place that nobody takes up is given back when its time is over") {
  PlacementFixture node;
  node.Prepare();
  SandboxSpec spec;
  spec.tenant = "acme";
  spec.image = "app";
  std::vector<lifecycle::Wanted> wanted{
      {.spec = spec, .ttl = std::chrono::minutes(1)},
      {.spec = spec, .ttl = std::chrono::milliseconds(20)},
  };
  const auto held = node.Run(node.node().Reserve({}, wanted, true));
  REQUIRE(held.ok());
  node.AwaitEvent("reservation.expired");
  const std::vector<pb::Reservation> left = node.Reservations();
  REQUIRE(left.size() == 1);
  CHECK(left[0].sandbox().name() == "sandboxes/" + held->at(0)->id);
  CHECK(node.Charged() == left[0].sandbox().resources().memory().cgroup_max_bytes());
}

TEST_CASE("places outlive the agent, but not their time") {
  PlacementFixture node;
  node.Prepare();
  pb::ReserveRequest request = PlacementFixture::Wanted("r-1");
  request.mutable_ttl()->set_seconds(60);
  const pb::Reservation held = node.Reserve(request);
  request.set_request_id("r-2");
  request.mutable_ttl()->set_seconds(3600);
  const pb::Reservation longer = node.Reserve(request);
  node.Crash();
  CHECK(node.Reservations().size() == 2);
  CHECK(node.Reserve(request).name() == longer.name());
  CHECK(node.Commit(held, "c-1").state() == pb::SANDBOX_STATE_RUNNING);
  node.clock().Advance(std::chrono::minutes(30));
  node.Restart();
  CHECK(node.Reservations().size() == 1);
  node.clock().Advance(std::chrono::hours(1));
  node.Restart();
  node.AwaitEvent("reservation.expired");
  CHECK(node.Reservations().empty());
  pb::Reservation none;
  CHECK(DetailOf(node.TryReserve(request, &none)).reason() == "ALREADY_DONE");
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

TEST_CASE("what is begun and fails is undone, and the same id gets the same answer") {
  PlacementFixture node;
  node.Prepare();
  const pb::Reservation held = node.Reserve(PlacementFixture::Wanted("r"));
  node.world().Fail(drivers::Step::kStart, Internal("it broke"));
  pb::Sandbox sandbox;
  const grpc::Status failed = node.TryCommit(held, "c", &sandbox);
  CHECK(failed.error_message().find("it broke") != std::string::npos);
  CHECK(DetailOf(failed).outcome() == pb::ErrorDetail::UNDONE);
  CHECK(node.Charged() == 0);
  CHECK(node.world().ids().empty());
  const grpc::Status again = node.TryCommit(held, "c", &sandbox);
  CHECK(again.error_code() == failed.error_code());
  CHECK(DetailOf(again).outcome() == pb::ErrorDetail::UNDONE);
  CHECK(DetailOf(node.TryCommit(held, "d", &sandbox)).reason() == "RESERVATION_NOT_FOUND");
}

TEST_CASE("a stale controller is refused before anything is done") {
  PlacementFixture node;
  node.Prepare();
  pb::ReserveRequest request = PlacementFixture::Wanted();
  pb::Reservation reservation;
  const auto refused_with = [&](const std::string& reason) {
    const grpc::Status status = node.TryReserve(request, &reservation);
    CHECK(DetailOf(status).reason() == reason);
    CHECK(WasRefused(status));
    CHECK(node.Charged() == 0);
  };
  request.mutable_fence()->set_boot_id("an earlier one");
  refused_with("STALE_BOOT_ID");
  request.mutable_fence()->set_boot_id("boot");
  request.mutable_fence()->set_incarnation_id("an earlier one");
  refused_with("STALE_INCARNATION");
  request.mutable_fence()->set_incarnation_id(node.GetNode().incarnation_id());
  request.mutable_fence()->set_controller_generation(-1);
  refused_with("INVALID_ARGUMENT");

  pb::CordonNodeRequest newer;
  newer.mutable_fence()->set_controller_generation(5);
  pb::Node shown;
  Call call;
  REQUIRE(node.nodes->CordonNode(&call, newer, &shown).ok());
  CHECK(shown.controller_generation() == 5);
  node.Uncordon();
  request.mutable_fence()->set_controller_generation(4);
  refused_with("STALE_CONTROLLER");
  node.Crash();
  request.mutable_fence()->clear_incarnation_id();
  refused_with("STALE_CONTROLLER");
  request.mutable_fence()->set_controller_generation(5);
  CHECK(node.TryReserve(request, &reservation).ok());
  // Every change is fenced, not placement alone.
  pb::CreateSandboxRequest create = ServiceFixture::Request();
  create.mutable_fence()->set_controller_generation(4);
  CHECK(DetailOf(node.TryCreate(create)).reason() == "STALE_CONTROLLER");
}

TEST_CASE("whoever asks again for what was done is answered, whatever has changed since") {
  PlacementFixture node;
  node.Prepare();
  pb::CreateSandboxRequest create = ServiceFixture::Request();
  create.set_request_id("mine");
  create.mutable_fence()->set_incarnation_id(node.GetNode().incarnation_id());
  create.mutable_fence()->set_controller_generation(3);
  const pb::Sandbox made = node.Create(create);
  pb::CordonNodeRequest newer;
  newer.mutable_fence()->set_controller_generation(4);
  pb::Node shown;
  Call call;
  REQUIRE(node.nodes->CordonNode(&call, newer, &shown).ok());
  node.Crash();
  // Told that nothing was done, it would start a second one elsewhere.
  CHECK(node.Create(create).name() == made.name());
  create.set_request_id("another");
  CHECK(DetailOf(node.TryCreate(create)).reason() == "STALE_INCARNATION");
  CHECK(node.Uncordon().controller_generation() == 4);
}

TEST_CASE("a place is committed at the charge at which it was reserved") {
  PlacementFixture node;
  node.Prepare();
  // Full, to the last one that fits.
  std::vector<pb::Reservation> held;
  pb::ReserveRequest request = PlacementFixture::Wanted();
  request.mutable_spec()->set_workload_bytes(kGiB);
  for (pb::Reservation one; node.TryReserve(request, &one).ok();) held.push_back(one);
  REQUIRE(held.size() > 2);
  const pb::Sandbox running = node.Commit(held.front());
  // Its runtime turns out to be dearer than was thought.
  const std::string id = ServiceFixture::IdOf(running);
  REQUIRE(node.world().SetMemoryUsage(id, 2 * kGiB).ok());
  node.Run(node.node().Measure());
  node.clock().Advance(std::chrono::seconds(61));
  node.Run(node.node().Measure());
  CHECK(node.Commit(held[1]).resources().memory().cgroup_max_bytes() ==
        held[1].sandbox().resources().memory().cgroup_max_bytes());
}

TEST_CASE("a reservation cannot be stopped, and what is committed is deleted by force alone") {
  PlacementFixture node;
  node.Prepare();
  const pb::Reservation held = node.Reserve();
  pb::StopSandboxRequest stop;
  stop.set_name(held.sandbox().name());
  pb::Sandbox stopped;
  {
    Call call;
    CHECK(DetailOf(node.sandboxes->StopSandbox(&call, stop, &stopped)).reason() == "NOT_STARTED");
  }
  CHECK(node.Reservations().size() == 1);
  pb::DeleteSandboxRequest remove;
  remove.set_name(held.sandbox().name());
  remove.set_request_id("remove");
  google::protobuf::Empty empty;
  for (int i = 0; i < 2; ++i) {
    Call call;
    CHECK(node.sandboxes->DeleteSandbox(&call, remove, &empty).ok());
  }
  CHECK(node.Charged() == 0);
  // The deletion waits for the commit that came first, and then it is a sandbox.
  const pb::Reservation second = node.Reserve();
  const auto gate = node.world().Block(drivers::Step::kCreate);
  auto commit =
      node.Begin(node.node().CommitReservation({}, ServiceFixture::IdOf(second.sandbox())));
  REQUIRE(gate->AwaitArrival());
  auto removal = node.Begin(
      node.node().DeleteSandbox({}, ServiceFixture::IdOf(second.sandbox()), true, false));
  gate->Release();
  CHECK(commit.get().ok());
  CHECK(removal.get().ok());
  CHECK(node.world().running().empty());
  CHECK(node.Charged() == 0);
}

TEST_CASE("a lease that ends while its place is committed holds no other up") {
  PlacementFixture node;
  node.Prepare();
  SandboxSpec spec;
  spec.tenant = "acme";
  spec.image = "app";
  const std::vector<lifecycle::Wanted> wanted(
      2, {.spec = spec, .ttl = std::chrono::milliseconds(300)});
  const auto held = node.Run(node.node().Reserve({}, wanted, true));
  REQUIRE(held.ok());
  const auto gate = node.world().Block(drivers::Step::kCreate);
  auto commit = node.Begin(node.node().CommitReservation({}, held->at(0)->id));
  REQUIRE(gate->AwaitArrival());
  node.AwaitEvent("reservation.expired");
  CHECK(node.Reservations().empty());
  gate->Release();
  const StatusOr<Sandbox> running = commit.get();
  REQUIRE(running.ok());
  CHECK(running->state == SandboxState::kRunning);
}

TEST_CASE("many places are taken together or not at all, or as many as there are") {
  PlacementFixture node;
  node.Prepare();
  pb::ReserveBatchRequest request;
  for (int i = 0; i < 5; ++i) {
    *request.add_items()->mutable_spec() = PlacementFixture::Wanted().spec();
    request.mutable_items(i)->mutable_spec()->set_workload_bytes(2 * kGiB);
  }
  request.set_all_or_nothing(true);
  request.set_request_id("all");
  pb::ReserveBatchResponse response;
  {
    Call call;
    const grpc::Status refused = node.placement->ReserveBatch(&call, request, &response);
    CHECK(DetailOf(refused).reason() == "MEMORY_EXHAUSTED");
    CHECK(WasRefused(refused));
    CHECK(refused.error_message().find("number 4 of 5") != std::string::npos);
  }
  CHECK(node.Charged() == 0);
  CHECK(node.Reservations().empty());

  request.set_all_or_nothing(false);
  request.set_request_id("some");
  {
    Call call;
    REQUIRE(node.placement->ReserveBatch(&call, request, &response).ok());
  }
  REQUIRE(response.results_size() == 5);
  CHECK(response.results(2).has_reservation());
  CHECK(response.results(3).error().code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  CHECK(node.Reservations().size() == 3);
  pb::ReserveBatchResponse again;
  {
    Call call;
    REQUIRE(node.placement->ReserveBatch(&call, request, &again).ok());
  }
  CHECK(again.results(2).reservation().name() == response.results(2).reservation().name());
  CHECK(again.results(3).has_error());
  CHECK(node.Reservations().size() == 3);
  // Once more with other content: it is another request under the same id.
  request.mutable_items(0)->mutable_spec()->set_workload_bytes(kGiB);
  Call call;
  CHECK(DetailOf(node.placement->ReserveBatch(&call, request, &again)).reason() ==
        "REQUEST_ID_REUSED");
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

TEST_CASE("a place of a tenant that loses its trust is taken back") {
  PlacementFixture node;
  node.Prepare(pb::TRUST_TRUSTED);
  const pb::Reservation held = node.Reserve();
  CHECK(held.sandbox().isolation_class() == pb::ISOLATION_CLASS_CONTAINER);
  pb::UpdateTenantRequest request;
  request.mutable_tenant()->set_name("tenants/acme");
  request.mutable_tenant()->set_trust(pb::TRUST_UNTRUSTED);
  request.mutable_update_mask()->add_paths("trust");
  pb::Tenant tenant;
  Call call;
  const grpc::Status lowered = node.tenants->UpdateTenant(&call, request, &tenant);
  INFO(lowered.error_message());
  REQUIRE(lowered.ok());
  CHECK(node.Reservations().empty());
  CHECK(node.Charged() == 0);
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

TEST_CASE("reservations are listed page by page") {
  PlacementFixture node;
  node.Prepare();
  for (int i = 0; i < 5; ++i) node.Reserve();
  pb::ListReservationsRequest request;
  request.set_page_size(2);
  std::set<std::string> names;
  int pages = 0;
  do {
    pb::ListReservationsResponse page;
    Call call;
    REQUIRE(node.placement->ListReservations(&call, request, &page).ok());
    CHECK(page.reservations_size() <= 2);
    for (const pb::Reservation& one : page.reservations()) names.insert(one.name());
    request.set_page_token(page.next_page_token());
    ++pages;
  } while (!request.page_token().empty());
  CHECK(names.size() == 5);
  CHECK(pages == 3);
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
