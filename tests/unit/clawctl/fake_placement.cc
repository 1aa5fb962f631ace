#include "claw/node/v1/placement.grpc.pb.h"
#include "tests/unit/clawctl/fake_parts.h"

namespace claw::ctl::testing {
namespace {

using google::protobuf::Empty;
using grpc::ServerContext;
using Lock = std::unique_lock<std::mutex>;

class PlacementFake final : public pb::PlacementService::Service {
 public:
  explicit PlacementFake(FakeState& state) : state_(state) {}

  grpc::Status ListTargets(ServerContext* /*context*/, const pb::ListTargetsRequest* /*request*/,
                           pb::ListTargetsResponse* response) override {
    const Lock lock(state_.mutex);
    for (const auto& target : state_.targets) *response->add_targets() = target;
    return grpc::Status::OK;
  }
  grpc::Status Explain(ServerContext* /*context*/, const pb::ExplainRequest* request,
                       pb::ExplainResponse* response) override {
    const Lock lock(state_.mutex);
    state_.explains.push_back(*request);
    *response = state_.explanation;
    return Refuse(state_, "").value_or(grpc::Status::OK);
  }
  grpc::Status Reserve(ServerContext* /*context*/, const pb::ReserveRequest* request,
                       pb::Reservation* response) override {
    const Lock lock(state_.mutex);
    state_.reserves.push_back(*request);
    if (auto refused = Refuse(state_, request->request_id())) return *refused;
    *response = MakeReservation("00112233445566aa", request->spec().display_name(),
                                request->has_ttl() ? request->ttl().seconds() : 60);
    state_.reservations.push_back(*response);
    return grpc::Status::OK;
  }
  grpc::Status Commit(ServerContext* /*context*/, const pb::CommitRequest* request,
                      pb::Sandbox* response) override {
    const Lock lock(state_.mutex);
    state_.commits.push_back(*request);
    if (auto refused = Refuse(state_, request->request_id())) return *refused;
    for (const auto& one : state_.reservations) {
      if (one.name() != request->name()) continue;
      *response = one.sandbox();
      response->set_state(pb::SANDBOX_STATE_RUNNING);
      response->clear_lease_expire_time();
      return grpc::Status::OK;
    }
    return Gone();
  }
  grpc::Status Release(ServerContext* /*context*/, const pb::ReleaseRequest* request,
                       Empty* /*response*/) override {
    const Lock lock(state_.mutex);
    state_.releases.push_back(*request);
    if (auto refused = Refuse(state_, request->request_id())) return *refused;
    const auto gone = std::erase_if(state_.reservations,
                                    [&](const auto& one) { return one.name() == request->name(); });
    return gone != 0 || request->allow_missing() ? grpc::Status::OK : Gone();
  }
  grpc::Status ListReservations(ServerContext* /*context*/,
                                const pb::ListReservationsRequest* /*request*/,
                                pb::ListReservationsResponse* response) override {
    const Lock lock(state_.mutex);
    for (const auto& one : state_.reservations) *response->add_reservations() = one;
    return grpc::Status::OK;
  }

 private:
  static grpc::Status Gone() {
    pb::ErrorDetail detail;
    detail.set_reason("RESERVATION_NOT_FOUND");
    detail.set_outcome(pb::ErrorDetail::REFUSED);
    return ToGrpc({.code = 5, .message = "there is no reservation", .detail = detail});
  }

  FakeState& state_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakePlacementFake(FakeState& state) {
  return std::make_unique<PlacementFake>(state);
}

}  // namespace claw::ctl::testing
