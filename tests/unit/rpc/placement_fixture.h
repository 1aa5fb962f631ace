#pragma once

#include "tests/unit/rpc/service_fixture.h"

namespace claw::test {

// A node behind a socket, asked for places.
class PlacementFixture : public ServiceFixture {
 public:
  explicit PlacementFixture(lifecycle::NodeConfig config = {})
      : ServiceFixture(std::move(config)) {}

  static pb::ReserveRequest Wanted(const std::string& request_id = "") {
    pb::ReserveRequest request;
    request.mutable_spec()->set_tenant("tenants/acme");
    request.mutable_spec()->set_image("app");
    request.set_request_id(request_id);
    return request;
  }

  grpc::Status TryReserve(const pb::ReserveRequest& request, pb::Reservation* reservation) {
    Call call;
    return placement->Reserve(&call, request, reservation);
  }
  pb::Reservation Reserve(const pb::ReserveRequest& request = Wanted()) {
    pb::Reservation reservation;
    const grpc::Status status = TryReserve(request, &reservation);
    INFO(status.error_message());
    REQUIRE(status.ok());
    return reservation;
  }
  grpc::Status TryCommit(const pb::Reservation& reservation, const std::string& request_id,
                         pb::Sandbox* sandbox) {
    pb::CommitRequest request;
    request.set_name(reservation.name());
    request.set_request_id(request_id);
    Call call;
    return placement->Commit(&call, request, sandbox);
  }
  pb::Sandbox Commit(const pb::Reservation& reservation, const std::string& request_id = "") {
    pb::Sandbox sandbox;
    const grpc::Status status = TryCommit(reservation, request_id, &sandbox);
    INFO(status.error_message());
    REQUIRE(status.ok());
    return sandbox;
  }
  grpc::Status Release(const pb::Reservation& reservation, bool allow_missing = false) {
    pb::ReleaseRequest request;
    request.set_name(reservation.name());
    request.set_allow_missing(allow_missing);
    google::protobuf::Empty empty;
    Call call;
    return placement->Release(&call, request, &empty);
  }
  pb::Explanation Explain(const pb::SandboxSpec& spec) {
    pb::ExplainRequest request;
    *request.mutable_spec() = spec;
    pb::ExplainResponse response;
    Call call;
    REQUIRE(placement->Explain(&call, request, &response).ok());
    REQUIRE(response.targets_size() == 1);
    return response.targets(0);
  }
  std::vector<pb::Reservation> Reservations() {
    pb::ListReservationsResponse response;
    Call call;
    REQUIRE(placement->ListReservations(&call, {}, &response).ok());
    return {response.reservations().begin(), response.reservations().end()};
  }
  int64_t Charged() { return GetNode().memory().charged_bytes(); }

  pb::Node Cordon(const std::string& reason) {
    pb::CordonNodeRequest request;
    request.set_reason(reason);
    pb::Node node;
    Call call;
    REQUIRE(nodes->CordonNode(&call, request, &node).ok());
    return node;
  }
  pb::Node Uncordon() {
    pb::Node node;
    Call call;
    REQUIRE(nodes->UncordonNode(&call, {}, &node).ok());
    return node;
  }

  // Reads events, those that were before too, until one is of this type.
  void AwaitEvent(const std::string& type) {
    Call call;
    const auto stream = events->WatchEvents(&call, {});
    for (pb::Event event; stream->Read(&event);) {
      if (event.type() == type) {
        call.Cancel();
        return;
      }
    }
    FAIL("there was no event " << type);
  }

  // The agent ends, its records are changed, and it comes up again.
  void Damage(const std::string& sql) {
    Shutdown();
    NodeFixture::Damage(sql);
    Serve();
  }

  // The agent is gone from one instruction to the next; another one comes up on what it left.
  void Crash() {
    Shutdown();
    NodeFixture::Crash();
    Serve();
  }
};

}  // namespace claw::test
