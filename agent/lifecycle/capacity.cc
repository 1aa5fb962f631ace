#include "agent/base/strings.h"
#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/node.h"
#include "agent/lifecycle/plan.h"

namespace claw::lifecycle {

StatusOr<CapacityView> Node::PlanCapacity(const CapacityQuestion& question) const {
  Image image;
  if (!question.image.empty()) {
    ASSIGN_OR_RETURN(image, FindImage(question.image));
  }
  CapacityView view;
  budget::PlanQuestion ask{.vm = question.vm,
                           .trusted = question.trusted,
                           .untrusted = question.untrusted,
                           .workload_bytes = question.workload_bytes,
                           .request_bytes = question.request_bytes,
                           .group = image.digest};
  // Of another machine only the defaults are known.
  const bool here = question.capacity_bytes == 0 && !question.vm;
  view.capacity_bytes =
      question.capacity_bytes == 0 ? config_.capacity_bytes : question.capacity_bytes;
  ask.capacity_bytes = view.capacity_bytes;
  if (here) {
    ask.reserves = {.system_bytes = config_.reserves.system_bytes,
                    .agent_bytes = config_.reserves.agent_bytes,
                    .eviction_bytes = config_.reserves.eviction_bytes};
  }
  const Time now = deps_.clock.Now();
  const auto learn = [&](IsolationClass isolation, CapacityView::Class& into,
                         budget::PlanQuestion::Overhead& overhead, UsageMoments& seen) -> Status {
    const DriverState* state = DriverOf(isolation);
    if (state == nullptr || !state->fingerprint.healthy) {
      return MakeError(StatusCode::kFailedPrecondition,
                       StrCat("nothing is known of what ", ToString(isolation),
                              " costs: its runtime does not work on this node (",
                              RuntimeProblem(isolation), ")"),
                       {.reason = "RUNTIME_MISSING"});
    }
    Sandbox next;
    next.image_digest = image.digest;
    SetRuntime(*state, next);
    into.sandboxes = ClassOf(next);
    const int64_t prior = state->fingerprint.overhead_prior_bytes;
    into.estimate = overheads_.Estimate(into.sandboxes, prior, now);
    overhead = {.learned_bytes = into.estimate.bytes, .prior_bytes = prior};
    seen = overheads_.Usage(into.sandboxes, now);
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(learn(IsolationClass::kContainer, view.runc, ask.runc, ask.runc_seen));
  RETURN_IF_ERROR(learn(IsolationClass::kGvisor, view.gvisor, ask.gvisor, ask.gvisor_seen));
  ASSIGN_OR_RETURN(view.plan, budget::PlanCapacity(ask, burst_));
  return view;
}

}  // namespace claw::lifecycle
