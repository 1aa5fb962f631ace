#include <algorithm>

#include "agent/base/strings.h"
#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/node.h"
#include "agent/lifecycle/vms.h"

namespace claw::lifecycle {

MemoryView Node::memory() const {
  MemoryView view;
  view.capacity_bytes = config_.capacity_bytes;
  view.allocatable_bytes = budget::Allocatable(config_.capacity_bytes, config_.reserves);
  view.reserved_bytes = view.capacity_bytes - view.allocatable_bytes;
  const placement::Occupancy& held = here_.held;
  view.charged_overhead_bytes = held.charged_overhead_bytes();
  view.charged_workload_bytes = SaturatingSub(held.charged_bytes(), view.charged_overhead_bytes);
  for (const auto& [id, entry] : sandboxes_) {
    if (!IsRunning(entry->record.state)) continue;
    view.measured_workload_bytes += entry->used_workload_bytes;
    view.measured_overhead_bytes += entry->used_overhead_bytes;
  }
  view.charged_test_bytes = CompatBytes();
  view.charged_vm_bytes = vms_->ChargedBytes();
  view.charged_bytes = SaturatingAdd(SaturatingAdd(held.charged_bytes(), view.charged_test_bytes),
                                     view.charged_vm_bytes);
  view.required_bytes = budget::RequiredBytes(Holdings(), burst_);
  return view;
}

budget::Holdings Node::Holdings() const {
  return placement::HoldingsOf(Here(), PlacementSettings());
}

budget::BurstNeed Node::burst_need() const { return burst_.Need(Holdings().burstable); }

const budget::Counts& Node::CountActive() const { return here_.held.active(); }

Status Node::Admit(const Memory& charge) const {
  RETURN_IF_ERROR(memory_limit_);
  RETURN_IF_ERROR(dial_.AdmitStart(CountActive().sandboxes));
  return budget::Admit(budget::Allocatable(config_.capacity_bytes, config_.reserves), Holdings(),
                       burst_, charge);
}

budget::Room Node::RoomFor(const SandboxClass& sandboxes, const Memory& memory,
                           const budget::Holdings& holdings, const budget::Counts& counts) const {
  budget::Room room;
  room.constraint = "node.memory.allocatable_bytes";
  room.more = budget::MoreFit(budget::Allocatable(config_.capacity_bytes, config_.reserves),
                              holdings, burst_, memory, sandboxes.image_digest,
                              overheads_.Usage(sandboxes, deps_.clock.Now()));
  // What keeps all out is asked of the ones that would refuse, in the order in which they would.
  for (const Status& problem : {memory_limit_, dial_.AdmitStart(counts.sandboxes)}) {
    if (!problem.ok()) room.Bound(0, GetErrorDetail(problem).value_or(ErrorDetail{}).constraint);
  }
  if (dial_.limit()) room.Bound(*dial_.limit() - counts.sandboxes, "node.concurrency.limit");
  budget::BoundByCaps(config_.caps, counts, sandboxes.driver, room);
  return room;
}

ConcurrencyView Node::concurrency() const {
  ConcurrencyView view{.band = dial_.band(),
                       .stall = dial_.stall(),
                       .is_short = dial_.is_short(),
                       .explained = dial_.explained(),
                       .problem = pressure_.problem,
                       .limit = dial_.limit(),
                       .counts = CountActive()};
  for (const auto& [driver, gate] : start_gates_) {
    view.starts.push_back({.driver = driver,
                           .at_once = gate->at_once(),
                           .under_way = gate->under_way(),
                           .queued = gate->queued()});
  }
  return view;
}

Task<void> Node::LimitMemory() {
  if (memory_limit_.ok()) co_return;
  if (!deps_.limit_memory) {
    memory_limit_ = absl::OkStatus();
    co_return;
  }
  int64_t capacity = 0;
  int64_t allocatable = 0;
  Status set;
  do {
    capacity = config_.capacity_bytes;
    allocatable = budget::Allocatable(config_.capacity_bytes, config_.reserves);
    // A guest that was shrunk keeps what it has promised.
    if (config_.capacity_follows) {
      allocatable = std::max(allocatable, budget::RequiredBytes(Holdings(), burst_));
    }
    auto work = [limit = deps_.limit_memory, allocatable] { return limit(allocatable); };
    set = co_await deps_.pool.Run(std::move(work));
    // A guest's balloon may have moved on meanwhile.
  } while (set.ok() && capacity != config_.capacity_bytes);
  if (set.ok()) {
    memory_limit_ = set;
    co_return;
  }
  // What the sandboxes may take together cannot be proven, so none is added.
  memory_limit_ = MakeError(
      StatusCode::kFailedPrecondition,
      StrCat("the memory limit around all sandboxes is not in force: ", ToStd(set.message())),
      {.reason = "MEMORY_LIMIT_UNPROVEN",
       .constraint = "node.memory.allocatable_bytes",
       .needed = StrCat(allocatable, " bytes"),
       .retry_after = std::chrono::seconds(10)});
}

}  // namespace claw::lifecycle
