#include "agent/base/strings.h"
#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/node.h"

namespace claw::lifecycle {

MemoryView Node::memory() const {
  MemoryView view;
  view.capacity_bytes = config_.capacity_bytes;
  view.allocatable_bytes = budget::Allocatable(config_.capacity_bytes, config_.reserves);
  view.reserved_bytes = view.capacity_bytes - view.allocatable_bytes;
  for (const auto& [id, entry] : sandboxes_) {
    const Sandbox& record = entry->record;
    if (record.released) continue;
    const Memory& charge = record.resources.memory;
    view.charged_workload_bytes = SaturatingAdd(view.charged_workload_bytes, charge.workload_bytes);
    view.charged_overhead_bytes = SaturatingAdd(view.charged_overhead_bytes, charge.overhead_bytes);
    view.charged_bytes = SaturatingAdd(view.charged_bytes, charge.cgroup_max_bytes);
  }
  view.charged_test_bytes = CompatBytes();
  view.charged_bytes = SaturatingAdd(view.charged_bytes, view.charged_test_bytes);
  return view;
}

Status Node::Admit(const Memory& charge) const {
  RETURN_IF_ERROR(memory_limit_);
  const MemoryView view = memory();
  return budget::Admit(view.allocatable_bytes, view.charged_bytes, charge);
}

Task<void> Node::LimitMemory() {
  if (memory_limit_.ok()) co_return;
  if (!deps_.limit_memory) {
    memory_limit_ = absl::OkStatus();
    co_return;
  }
  const int64_t allocatable = memory().allocatable_bytes;
  auto work = [limit = deps_.limit_memory, allocatable] { return limit(allocatable); };
  const Status set = co_await deps_.pool.Run(std::move(work));
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
