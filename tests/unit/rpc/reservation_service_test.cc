#include <algorithm>
#include <set>

#include "tests/unit/rpc/placement_fixture.h"

namespace claw::test {
namespace {

pb::ErrorDetail DetailOf(const grpc::Status& status) { return ServiceFixture::DetailOf(status); }

bool WasRefused(const grpc::Status& status) {
  return DetailOf(status).outcome() == pb::ErrorDetail::REFUSED;
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

}  // namespace
}  // namespace claw::test
