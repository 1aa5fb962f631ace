#include "agent/rpc/placement_calls.h"

#include <algorithm>

#include "agent/rpc/convert.h"
#include "agent/rpc/names.h"
#include "agent/rpc/node_view.h"
#include "agent/rpc/page.h"
#include "agent/rpc/status.h"

namespace claw::rpc {
namespace {

using google::protobuf::Empty;

constexpr int kMaxExplained = 32;  // of the refusals of one batch
constexpr int kMaxBatch = 1000;
constexpr size_t kMaxBatchBytes = 1 << 20;
// In the details of a refusal, which have to fit gRPC's trailers.
constexpr int kMaxUnmet = 3;

pb::Constraint ToProto(const placement::Constraint& constraint) {
  pb::Constraint proto;
  proto.set_name(constraint.name);
  proto.set_met(constraint.met);
  proto.set_needed(constraint.needed);
  proto.set_available(constraint.available);
  if (constraint.met) return proto;
  proto.set_problem(std::string(constraint.refusal.message()));
  const ErrorDetail detail = GetErrorDetail(constraint.refusal).value_or(ErrorDetail{});
  proto.set_reason(detail.reason);
  if (detail.retry_after) SetDuration(*detail.retry_after, proto.mutable_retry_after());
  return proto;
}

pb::Explanation ToProto(const placement::Explanation& explanation) {
  pb::Explanation proto;
  proto.set_target(explanation.target);
  proto.set_fits(explanation.fits);
  for (const placement::Constraint& one : explanation.constraints) {
    *proto.add_constraints() = ToProto(one);
  }
  if (explanation.offer) {
    const placement::Offer& offer = *explanation.offer;
    if (offer.decision.isolation) {
      proto.set_isolation_class(rpc::ToProto(*offer.decision.isolation));
    }
    proto.set_driver(offer.runtime.driver);
    proto.set_image_digest(offer.image_digest);
    SetMemory(offer.memory, proto.mutable_memory());
  }
  const placement::Score& score = explanation.score;
  pb::Score* out = proto.mutable_score();
  out->set_total(score.total);
  out->set_fit(score.fit);
  out->set_image(score.image);
  out->set_spread(score.spread);
  out->set_native(score.native);
  out->set_warm(score.warm);
  return proto;
}

pb::Reservation ToReservation(const Context& context, const Sandbox& sandbox) {
  pb::Reservation proto;
  proto.set_name(StrCat("reservations/", sandbox.id));
  *proto.mutable_sandbox() = rpc::ToProto(sandbox);
  proto.set_target(sandbox.target);
  if (sandbox.lease) {
    SetTime(sandbox.lease->expires_at, proto.mutable_expire_time());
    proto.set_held_by(sandbox.lease->held_by);
  }
  proto.set_boot_id(context.node.host().boot_id);
  return proto;
}

template <typename Item>
StatusOr<lifecycle::Wanted> ToWanted(const Item& item) {
  lifecycle::Wanted wanted;
  ASSIGN_OR_RETURN(wanted.spec, FromProto(item.spec()));
  if (item.has_ttl()) {
    ASSIGN_OR_RETURN(wanted.ttl, ParseDuration("ttl", item.ttl(), kMaxLease));
    if (wanted.ttl < kMinLease) return BadField("ttl", "has to lie between 1 s and 1 h");
  }
  return wanted;
}

}  // namespace

Status ExplainRefusal(const Context& context, const SandboxSpec& spec, const Status& status,
                      const std::string& reserved) {
  const ErrorDetail detail = GetErrorDetail(status).value_or(ErrorDetail{});
  if (detail.outcome != Outcome::kRefused) return status;
  const auto explained = context.node.Explain(spec, reserved);
  if (!explained.ok() || explained->empty()) return status;
  const auto is_the_one = [&detail](const placement::Constraint& one) {
    return !one.met && one.name == detail.constraint;
  };
  const auto has_it = [&is_the_one](const placement::Explanation& one) {
    return std::any_of(one.constraints.begin(), one.constraints.end(), is_the_one);
  };
  const auto refused = std::find_if(explained->begin(), explained->end(), has_it);
  // It was refused for something else, or things have changed since.
  if (refused == explained->end()) return status;
  pb::Explanation proto = ToProto(*refused);
  pb::Explanation unmet = proto;
  unmet.clear_constraints();
  for (const pb::Constraint& one : proto.constraints()) {
    if (one.met() || unmet.constraints_size() == kMaxUnmet) continue;
    pb::Constraint* out = unmet.add_constraints();
    *out = one;
    for (std::string* text :
         {out->mutable_needed(), out->mutable_available(), out->mutable_problem()}) {
      *text = Shorten(*text);
    }
  }
  return WithMessage(status, unmet);
}

Task<StatusOr<pb::ListTargetsResponse>> ListTargets(const Context& context,
                                                    const pb::ListTargetsRequest& /*request*/) {
  pb::ListTargetsResponse response;
  for (const placement::Target* target : context.node.Targets()) {
    if (target->name == kHostTarget) {
      *response.add_targets() = ShowTarget(context);
    } else {
      *response.add_targets() = ShowTarget(*target);
    }
  }
  co_return response;
}

Task<StatusOr<pb::ExplainResponse>> Explain(const Context& context,
                                            const pb::ExplainRequest& request) {
  CO_ASSIGN_OR_RETURN(const SandboxSpec spec, FromProto(request.spec()));
  if (request.max_targets() < 0) co_return BadField("max_targets", "is less than 0");
  co_await context.node.LookAround();
  CO_ASSIGN_OR_RETURN(const auto explained, context.node.Explain(spec));
  pb::ExplainResponse response;
  for (const placement::Explanation& one : explained) {
    if (request.max_targets() > 0 && response.targets_size() == request.max_targets()) break;
    *response.add_targets() = ToProto(one);
  }
  response.set_revision(context.node.revision());
  co_return response;
}

Task<StatusOr<pb::Reservation>> Reserve(const Context& context, const pb::ReserveRequest& request,
                                        const std::string& actor) {
  CO_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  CO_ASSIGN_OR_RETURN(lifecycle::Wanted wanted, ToWanted(request));
  const SandboxSpec spec = wanted.spec;
  std::vector<lifecycle::Wanted> one;
  one.push_back(std::move(wanted));
  const auto answers =
      co_await context.node.Reserve(MakeCall(request, actor), std::move(one), true);
  if (!answers.ok()) co_return ExplainRefusal(context, spec, answers.status());
  if (answers->size() != 1) co_return Internal(answers->size(), " answers to one reservation");
  if (!answers->front().ok()) co_return answers->front().status();
  co_return ToReservation(context, *answers->front());
}

Task<StatusOr<pb::ReserveBatchResponse>> ReserveBatch(const Context& context,
                                                      const pb::ReserveBatchRequest& request,
                                                      const std::string& actor) {
  CO_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  if (request.items().empty() || request.items_size() > kMaxBatch) {
    co_return BadField("items", StrCat("has ", request.items_size(), ", not 1 to ", kMaxBatch));
  }
  // The answer holds all of it and more, and has to be one message.
  if (request.ByteSizeLong() > kMaxBatchBytes) {
    co_return BadField("items", "take more than 1 MiB together; make several batches of them");
  }
  std::vector<lifecycle::Wanted> wanted;
  std::vector<SandboxSpec> specs;
  for (const pb::ReserveBatchRequest::Item& item : request.items()) {
    CO_ASSIGN_OR_RETURN(lifecycle::Wanted one, ToWanted(item));
    specs.push_back(one.spec);
    wanted.push_back(std::move(one));
  }
  CO_ASSIGN_OR_RETURN(const auto answers,
                      co_await context.node.Reserve(MakeCall(request, actor), std::move(wanted),
                                                    request.all_or_nothing()));
  pb::ReserveBatchResponse response;
  int explained = 0;
  for (size_t i = 0; i < answers.size(); ++i) {
    const StatusOr<Sandbox>& answer = answers[i];
    pb::ReserveBatchResponse::Result* result = response.add_results();
    if (answer.ok()) {
      *result->mutable_reservation() = ToReservation(context, *answer);
    } else {
      // One message has to hold them all.
      const bool fits = explained++ < kMaxExplained;
      *result->mutable_error() =
          ToRpcStatus(fits ? ExplainRefusal(context, specs[i], answer.status()) : answer.status());
    }
  }
  co_return response;
}

Task<StatusOr<pb::Sandbox>> Commit(const Context& context, const pb::CommitRequest& request,
                                   const std::string& actor) {
  CO_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  CO_ASSIGN_OR_RETURN(const std::string id, ParseReservationName("name", request.name()));
  const StatusOr<Sandbox> reserved = context.node.GetSandbox(id);
  const StatusOr<Sandbox> sandbox =
      co_await context.node.CommitReservation(MakeCall(request, actor), id);
  if (sandbox.ok()) co_return rpc::ToProto(*sandbox);
  if (!reserved.ok()) co_return sandbox.status();
  co_return ExplainRefusal(context, reserved->spec, sandbox.status(), id);
}

Task<StatusOr<Empty>> Release(const Context& context, const pb::ReleaseRequest& request,
                              const std::string& actor) {
  CO_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  CO_ASSIGN_OR_RETURN(const std::string id, ParseReservationName("name", request.name()));
  const Status released = co_await context.node.ReleaseReservation(MakeCall(request, actor), id,
                                                                   request.allow_missing());
  CO_RETURN_IF_ERROR(released);
  co_return Empty();
}

Task<StatusOr<pb::Reservation>> GetReservation(const Context& context,
                                               const pb::GetReservationRequest& request) {
  CO_ASSIGN_OR_RETURN(const std::string id, ParseReservationName("name", request.name()));
  const StatusOr<Sandbox> sandbox = context.node.GetSandbox(id);
  if (sandbox.ok() && sandbox->id == id) co_return ToReservation(context, *sandbox);
  co_return MakeError(
      StatusCode::kNotFound,
      StrCat("there is no reservation '", id, "': it was never made, was released, or has expired"),
      {.reason = "RESERVATION_NOT_FOUND", .constraint = "name"});
}

Task<StatusOr<pb::ListReservationsResponse>> ListReservations(
    const Context& context, const pb::ListReservationsRequest& request) {
  std::vector<Sandbox> held = context.node.ListSandboxes();
  std::erase_if(held, [](const Sandbox& sandbox) { return !sandbox.lease; });
  const auto key = [](const Sandbox& sandbox) {
    return StrCat(NumberKey(ToMicros(sandbox.created_at)), sandbox.id);
  };
  const auto add = [&context](const Sandbox& sandbox, pb::ListReservationsResponse& out) {
    *out.add_reservations() = ToReservation(context, sandbox);
  };
  co_return RespondPage<pb::ListReservationsResponse>("reservations", held, key, request, add);
}

}  // namespace claw::rpc
