#include <algorithm>
#include <iterator>
#include <utility>

#include "claw/node/v1/node.grpc.pb.h"
#include "claw/node/v1/placement.grpc.pb.h"
#include "tools/clawctl/client_impl.h"

namespace claw::ctl {

StatusOr<pb::Node> Client::CordonNode(pb::CordonNodeRequest request) {
  SetRequestId(request);
  return CLAW_UNARY(NodeService, CordonNode, request);
}

StatusOr<pb::Node> Client::UncordonNode() {
  pb::UncordonNodeRequest request;
  SetRequestId(request);
  return CLAW_UNARY(NodeService, UncordonNode, request);
}

Status Client::WatchNode(const pb::WatchNodeRequest& request,
                         const std::function<void(const pb::NodeChange&)>& on_change) {
  const auto stub = pb::NodeService::NewStub(impl().channel);
  return impl().ServerStream<pb::NodeChange>(
      "WatchNode", false,
      [&](grpc::ClientContext* context) { return stub->WatchNode(context, request); }, on_change);
}

StatusOr<std::vector<pb::Target>> Client::ListTargets() {
  ASSIGN_OR_RETURN(const pb::ListTargetsResponse response,
                   CLAW_UNARY(PlacementService, ListTargets, pb::ListTargetsRequest()));
  return std::vector<pb::Target>(response.targets().begin(), response.targets().end());
}

StatusOr<pb::ExplainResponse> Client::Explain(const pb::ExplainRequest& request) {
  return CLAW_UNARY(PlacementService, Explain, request);
}

StatusOr<pb::Reservation> Client::Reserve(pb::ReserveRequest request) {
  SetRequestId(request);
  return CLAW_UNARY(PlacementService, Reserve, request);
}

StatusOr<pb::Sandbox> Client::Commit(pb::CommitRequest request) {
  SetRequestId(request);
  return CLAW_UNARY(PlacementService, Commit, request);
}

Status Client::Release(pb::ReleaseRequest request) {
  SetRequestId(request);
  return CLAW_UNARY(PlacementService, Release, request).status();
}

StatusOr<std::vector<pb::Reservation>> Client::ListReservations() {
  pb::ListReservationsRequest request;
  request.set_page_size(1000);
  std::vector<pb::Reservation> reservations;
  do {
    ASSIGN_OR_RETURN(pb::ListReservationsResponse page,
                     CLAW_UNARY(PlacementService, ListReservations, request));
    std::move(page.mutable_reservations()->begin(), page.mutable_reservations()->end(),
              std::back_inserter(reservations));
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return reservations;
}

}  // namespace claw::ctl
