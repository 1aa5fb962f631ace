#include "agent/rpc/placement_calls.h"
#include "agent/rpc/reactors.h"
#include "agent/rpc/services.h"
#include "claw/node/v1/placement.grpc.pb.h"

namespace claw::rpc {
namespace {

namespace pb = node::v1;
using google::protobuf::Empty;
using CallContext = grpc::CallbackServerContext;
using enum WhenCallerLeaves;

class PlacementService final : public pb::PlacementService::CallbackService {
 public:
  explicit PlacementService(const Context& context) : context_(context) {}

  grpc::ServerUnaryReactor* ListTargets(CallContext* /*call*/,
                                        const pb::ListTargetsRequest* request,
                                        pb::ListTargetsResponse* response) override {
    return Unary(context_, kCancel, request, response, rpc::ListTargets);
  }
  grpc::ServerUnaryReactor* Explain(CallContext* /*call*/, const pb::ExplainRequest* request,
                                    pb::ExplainResponse* response) override {
    return Unary(context_, kCancel, request, response, rpc::Explain);
  }
  grpc::ServerUnaryReactor* Reserve(CallContext* call, const pb::ReserveRequest* request,
                                    pb::Reservation* response) override {
    return Change(context_, *call, request, response, rpc::Reserve);
  }
  grpc::ServerUnaryReactor* ReserveBatch(CallContext* call, const pb::ReserveBatchRequest* request,
                                         pb::ReserveBatchResponse* response) override {
    return Change(context_, *call, request, response, rpc::ReserveBatch);
  }
  grpc::ServerUnaryReactor* Commit(CallContext* call, const pb::CommitRequest* request,
                                   pb::Sandbox* response) override {
    return Change(context_, *call, request, response, rpc::Commit);
  }
  grpc::ServerUnaryReactor* Release(CallContext* call, const pb::ReleaseRequest* request,
                                    Empty* response) override {
    return Change(context_, *call, request, response, rpc::Release);
  }
  grpc::ServerUnaryReactor* GetReservation(CallContext* /*call*/,
                                           const pb::GetReservationRequest* request,
                                           pb::Reservation* response) override {
    return Unary(context_, kCancel, request, response, rpc::GetReservation);
  }
  grpc::ServerUnaryReactor* ListReservations(CallContext* /*call*/,
                                             const pb::ListReservationsRequest* request,
                                             pb::ListReservationsResponse* response) override {
    return Unary(context_, kCancel, request, response, rpc::ListReservations);
  }

 private:
  const Context& context_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakePlacementService(const Context& context) {
  return std::make_unique<PlacementService>(context);
}

}  // namespace claw::rpc
