#include "agent/rpc/budget_calls.h"

#include <algorithm>

#include "agent/rpc/convert.h"
#include "agent/rpc/names.h"

namespace claw::rpc {
namespace {

Status CheckBytes(std::string_view field, int64_t bytes, int64_t min, int64_t max) {
  if (bytes >= min && bytes <= max) return absl::OkStatus();
  return MakeError(StatusCode::kInvalidArgument,
                   StrCat(field, " is ", bytes, "; it has to lie between ", min, " and ", max),
                   {.reason = "OUT_OF_RANGE", .constraint = std::string(field)});
}

// The sandboxes that a request asks about, defaults filled in.
struct Wanted {
  int64_t workload_bytes = 0;
  int64_t request_bytes = 0;
};

StatusOr<Wanted> ParseWanted(int64_t workload_bytes, int64_t request_bytes) {
  Wanted wanted{.workload_bytes = workload_bytes == 0 ? kDefaultWorkloadBytes : workload_bytes,
                .request_bytes = request_bytes};
  RETURN_IF_ERROR(
      CheckBytes("workload_bytes", wanted.workload_bytes, kMinWorkloadBytes, kMaxWorkloadBytes));
  if (request_bytes != 0) {
    RETURN_IF_ERROR(CheckBytes("memory_request_bytes", request_bytes, kMinWorkloadBytes,
                               wanted.workload_bytes));
  }
  return wanted;
}

pb::OverheadClass ToProto(const lifecycle::OverheadView& view) {
  pb::OverheadClass out;
  out.set_image_digest(view.sandboxes.image_digest);
  out.set_image_family(view.sandboxes.image_family);
  out.set_driver(view.sandboxes.driver);
  out.set_runtime_version(view.sandboxes.runtime_version);
  out.set_platform(view.sandboxes.platform);
  out.set_architecture(view.sandboxes.architecture);
  out.set_page_size_bytes(view.sandboxes.page_size_bytes);
  out.set_overhead_bytes(view.estimate.bytes);
  out.set_prior_bytes(view.estimate.prior_bytes);
  for (const budget::OverheadStep& step : view.estimate.steps) {
    pb::OverheadEstimate* level = out.add_levels();
    level->set_level(std::string(ToString(step.level)));
    level->set_windows(step.windows);
    level->set_weight(step.weight);
    level->set_trust(step.trust);
    level->set_quantile_bytes(step.quantile_bytes);
    level->set_recent_bytes(step.recent_bytes);
    level->set_borrowed_bytes(step.borrowed_bytes);
    level->set_estimate_bytes(step.estimate_bytes);
  }
  for (const OverheadPeak& peak : view.samples) {
    pb::OverheadPeak* sample = out.add_samples();
    sample->set_bytes(peak.bytes);
    SetTime(peak.at, sample->mutable_time());
  }
  return out;
}

void SetConcurrency(const lifecycle::Node& node, pb::Concurrency* out) {
  const lifecycle::ConcurrencyView view = node.concurrency();
  const budget::Caps& caps = node.config().caps;
  out->set_band(std::string(ToString(view.band)));
  out->set_stall_percent(view.stall * 100);
  out->set_short_(view.is_short);
  out->set_explained(view.explained);
  out->set_problem(view.problem);
  out->set_sandboxes(view.counts.sandboxes);
  out->set_pressure_limit(view.limit.value_or(0));
  out->set_max_sandboxes(caps.sandboxes);
  for (const lifecycle::DriverState& state : node.drivers()) {
    const std::string name(state.driver->name());
    pb::DriverConcurrency* driver = out->add_drivers();
    driver->set_driver(name);
    driver->set_sandboxes(view.counts.Of(name));
    const auto cap = caps.by_driver.find(name);
    if (cap != caps.by_driver.end()) driver->set_max_sandboxes(cap->second);
    for (const lifecycle::ConcurrencyView::Starts& starts : view.starts) {
      if (starts.driver != name) continue;
      driver->set_starts_at_once(starts.at_once);
      driver->set_starts_under_way(starts.under_way);
      driver->set_starts_queued(starts.queued);
    }
  }
}

void SetBurst(const lifecycle::Node& node, pb::Budget* out) {
  const budget::BurstNeed need = node.burst_need();
  if (need.limits_bytes == 0) return;
  const budget::BurstModel& model = node.burst_model();
  pb::BurstNeed* burst = out->mutable_burst();
  burst->set_sandboxes(need.sandboxes);
  burst->set_requests_bytes(need.requests_bytes);
  burst->set_limits_bytes(need.limits_bytes);
  burst->set_mean_bytes(need.mean_bytes);
  burst->set_bound_bytes(need.bound_bytes);
  burst->set_seen_bytes(need.seen_bytes);
  burst->set_bursts_bytes(need.bursts_bytes);
  burst->set_need_bytes(need.bytes);
  burst->set_epsilon(model.epsilon());
  burst->set_target_epsilon(model.rules().epsilon);
  burst->set_looks(model.looks());
  burst->set_misses(model.misses());
}

std::string_view Confidence(double trust) {
  if (trust <= 0) return "none";
  if (trust < 0.5) return "low";
  return trust < 0.9 ? "medium" : "high";
}

pb::CapacityClass ToProto(const lifecycle::CapacityView::Class& one) {
  pb::CapacityClass out;
  out.set_driver(one.sandboxes.driver);
  out.set_runtime_version(one.sandboxes.runtime_version);
  out.set_overhead_bytes(one.estimate.bytes);
  out.set_prior_bytes(one.estimate.prior_bytes);
  out.set_confidence(std::string(Confidence(0)));
  if (one.estimate.steps.empty()) return out;
  const budget::OverheadStep& narrowest = one.estimate.steps.back();
  out.set_level(std::string(ToString(narrowest.level)));
  out.set_windows(narrowest.windows);
  out.set_trust(narrowest.trust);
  out.set_confidence(std::string(Confidence(narrowest.trust)));
  return out;
}

}  // namespace

void SetMemory(const lifecycle::MemoryView& memory, pb::NodeMemory* out) {
  out->set_capacity_bytes(memory.capacity_bytes);
  out->set_reserved_bytes(memory.reserved_bytes);
  out->set_allocatable_bytes(memory.allocatable_bytes);
  out->set_charged_bytes(memory.charged_bytes);
  out->set_required_bytes(memory.required_bytes);
  out->set_available_bytes(
      std::max<int64_t>(0, SaturatingSub(memory.allocatable_bytes, memory.required_bytes)));
}

Task<StatusOr<pb::Budget>> GetBudget(const Context& context, const pb::GetBudgetRequest& request) {
  CO_ASSIGN_OR_RETURN(const Wanted wanted,
                      ParseWanted(request.workload_bytes(), request.memory_request_bytes()));
  const lifecycle::Node& node = context.node;
  const lifecycle::MemoryView memory = node.memory();
  pb::Budget budget;
  SetMemory(memory, budget.mutable_memory());
  budget.set_charged_workload_bytes(memory.charged_workload_bytes);
  budget.set_charged_overhead_bytes(memory.charged_overhead_bytes);
  budget.set_charged_test_bytes(memory.charged_test_bytes);
  budget.set_charged_vm_bytes(memory.charged_vm_bytes);
  budget.set_measured_workload_bytes(memory.measured_workload_bytes);
  budget.set_measured_overhead_bytes(memory.measured_overhead_bytes);
  budget.set_workload_bytes(wanted.workload_bytes);
  budget.set_memory_request_bytes(wanted.request_bytes);
  std::vector<lifecycle::OverheadView> views =
      node.ListOverheads(wanted.workload_bytes, wanted.request_bytes);
  for (const lifecycle::OverheadView& view : views) {
    pb::OverheadClass* out = budget.add_classes();
    *out = ToProto(view);
    out->set_more_fit(view.room.more);
    out->set_binding_constraint(view.room.constraint);
  }
  SetConcurrency(node, budget.mutable_concurrency());
  SetBurst(node, &budget);
  co_return budget;
}

Task<StatusOr<pb::CapacityPlan>> PlanCapacity(const Context& context,
                                              const pb::PlanCapacityRequest& request) {
  CO_ASSIGN_OR_RETURN(const Wanted wanted,
                      ParseWanted(request.workload_bytes(), request.memory_request_bytes()));
  const int64_t capacity = request.capacity_bytes();
  if (capacity != 0) {
    CO_RETURN_IF_ERROR(CheckBytes("capacity_bytes", capacity, 64 * kMiB, kMaxWorkloadBytes));
  }
  lifecycle::CapacityQuestion question{.trusted = request.trusted(),
                                       .untrusted = request.untrusted(),
                                       .workload_bytes = wanted.workload_bytes,
                                       .request_bytes = wanted.request_bytes,
                                       .image = request.image(),
                                       .capacity_bytes = capacity,
                                       .vm = request.vm()};
  CO_ASSIGN_OR_RETURN(const lifecycle::CapacityView view, context.node.PlanCapacity(question));
  pb::CapacityPlan plan;
  plan.set_capacity_bytes(view.capacity_bytes);
  plan.set_kernel_bytes(view.plan.kernel_bytes);
  plan.set_reserved_bytes(view.capacity_bytes - view.plan.kernel_bytes -
                          view.plan.allocatable_bytes);
  plan.set_allocatable_bytes(view.plan.allocatable_bytes);
  plan.set_workload_bytes(wanted.workload_bytes);
  plan.set_memory_request_bytes(wanted.request_bytes);
  for (const budget::PlanScenario& scenario : view.plan.scenarios) {
    pb::CapacityScenario* out = plan.add_scenarios();
    out->set_name(scenario.name);
    out->set_sandboxes(scenario.sandboxes());
    out->set_trusted(scenario.trusted);
    out->set_untrusted(scenario.untrusted);
    out->set_workload_bytes(scenario.workload_bytes);
    out->set_overhead_bytes(scenario.overhead_bytes);
    out->set_sandboxes_lost(scenario.without_overhead - scenario.sandboxes());
    out->set_sandboxes_at_prior(scenario.at_prior);
    out->set_allowed(scenario.allowed);
  }
  *plan.add_classes() = ToProto(view.runc);
  *plan.add_classes() = ToProto(view.gvisor);
  co_return plan;
}

}  // namespace claw::rpc
