#include "agent/budget/ledger.h"

#include <algorithm>

#include "agent/base/bytes.h"

namespace claw::budget {

namespace {

int64_t Available(int64_t allocatable_bytes, int64_t charged_bytes) {
  return std::max<int64_t>(0, SaturatingSub(allocatable_bytes, charged_bytes));
}

}  // namespace

int64_t Allocatable(int64_t capacity_bytes, const Reserves& reserves) {
  const int64_t reserved = SaturatingAdd(SaturatingAdd(reserves.system_bytes, reserves.agent_bytes),
                                         reserves.eviction_bytes);
  return std::max<int64_t>(0, SaturatingSub(capacity_bytes, reserved));
}

Memory Charge(int64_t workload_bytes, int64_t overhead_bytes) {
  return {.workload_bytes = workload_bytes,
          .overhead_bytes = overhead_bytes,
          .cgroup_max_bytes = SaturatingAdd(workload_bytes, overhead_bytes)};
}

Status Admit(int64_t allocatable_bytes, int64_t charged_bytes, const Memory& memory) {
  if (memory.cgroup_max_bytes <= 0) {
    return Internal("a charge of ", memory.cgroup_max_bytes, " bytes cannot be right");
  }
  const int64_t available = Available(allocatable_bytes, charged_bytes);
  if (memory.cgroup_max_bytes <= available) return absl::OkStatus();
  ErrorDetail detail{.reason = "MEMORY_EXHAUSTED",
                     .constraint = "node.memory.allocatable_bytes",
                     .needed = StrCat(memory.cgroup_max_bytes, " bytes"),
                     .available = StrCat(available, " bytes")};
  // On an empty node waiting does not help.
  if (memory.cgroup_max_bytes <= allocatable_bytes) {
    detail.retry_after = std::chrono::seconds(10);
  }
  return MakeError(
      StatusCode::kResourceExhausted,
      StrCat("no room: the sandbox needs ", FormatBytes(memory.cgroup_max_bytes), " (",
             FormatBytes(memory.workload_bytes), " for its program and ",
             FormatBytes(memory.overhead_bytes), " for its runtime), ", FormatBytes(available),
             " of ", FormatBytes(allocatable_bytes), " are free"),
      detail);
}

int64_t MoreFit(int64_t allocatable_bytes, int64_t charged_bytes, const Memory& memory) {
  if (memory.cgroup_max_bytes <= 0) return 0;
  return Available(allocatable_bytes, charged_bytes) / memory.cgroup_max_bytes;
}

}  // namespace claw::budget
