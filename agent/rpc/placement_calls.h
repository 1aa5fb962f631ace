#pragma once

#include <google/protobuf/empty.pb.h>

#include "agent/rpc/context.h"
#include "claw/node/v1/placement.pb.h"

namespace claw::rpc {

// PlacementService without gRPC.

Task<StatusOr<node::v1::ListTargetsResponse>> ListTargets(
    const Context& context, const node::v1::ListTargetsRequest& request);
Task<StatusOr<node::v1::ExplainResponse>> Explain(const Context& context,
                                                  const node::v1::ExplainRequest& request);
Task<StatusOr<node::v1::Reservation>> Reserve(const Context& context,
                                              const node::v1::ReserveRequest& request,
                                              const std::string& actor);
Task<StatusOr<node::v1::ReserveBatchResponse>> ReserveBatch(
    const Context& context, const node::v1::ReserveBatchRequest& request, const std::string& actor);
Task<StatusOr<node::v1::Sandbox>> Commit(const Context& context,
                                         const node::v1::CommitRequest& request,
                                         const std::string& actor);
Task<StatusOr<google::protobuf::Empty>> Release(const Context& context,
                                                const node::v1::ReleaseRequest& request,
                                                const std::string& actor);
Task<StatusOr<node::v1::Reservation>> GetReservation(
    const Context& context, const node::v1::GetReservationRequest& request);
Task<StatusOr<node::v1::ListReservationsResponse>> ListReservations(
    const Context& context, const node::v1::ListReservationsRequest& request);

// A refusal of this sandbox, with what stands in its way as one more detail; other errors as they
// are.
Status ExplainRefusal(const Context& context, const SandboxSpec& spec, const Status& status,
                      const std::string& reserved = {});

}  // namespace claw::rpc
