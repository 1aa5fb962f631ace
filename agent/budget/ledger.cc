#include "agent/budget/ledger.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "agent/base/bytes.h"

namespace claw::budget {

namespace {

constexpr int64_t kMinSystemReserve = 256 * kMiB;
constexpr int64_t kMaxSystemReserve = kGiB;
constexpr int64_t kAgentReserve = 64 * kMiB;
constexpr int64_t kEvictionReserve = 100 * kMiB;

int64_t Available(int64_t allocatable_bytes, int64_t charged_bytes) {
  return std::max<int64_t>(0, SaturatingSub(allocatable_bytes, charged_bytes));
}

}  // namespace

Reserves ResolveReserves(const ReserveSettings& settings, int64_t capacity_bytes) {
  Reserves reserves{
      .system_bytes = std::clamp(capacity_bytes / 20, kMinSystemReserve, kMaxSystemReserve),
      .agent_bytes = kAgentReserve,
      .eviction_bytes = kEvictionReserve};
  const std::array<std::pair<const std::optional<int64_t>*, int64_t*>, 3> fields = {
      {{&settings.system_bytes, &reserves.system_bytes},
       {&settings.agent_bytes, &reserves.agent_bytes},
       {&settings.eviction_bytes, &reserves.eviction_bytes}}};
  int64_t set_bytes = 0;
  int64_t default_bytes = 0;
  for (const auto& [set, value] : fields) {
    int64_t& sum = *set ? set_bytes : default_bytes;
    sum = SaturatingAdd(sum, set->value_or(*value));
  }
  const int64_t left = std::max<int64_t>(0, SaturatingSub(capacity_bytes / 2, set_bytes));
  const double scale =
      default_bytes <= left ? 1.0 : static_cast<double>(left) / static_cast<double>(default_bytes);
  for (const auto& [set, value] : fields) {
    *value = *set ? **set : static_cast<int64_t>(std::floor(static_cast<double>(*value) * scale));
  }
  return reserves;
}

int64_t Allocatable(int64_t capacity_bytes, const Reserves& reserves) {
  const int64_t reserved = SaturatingAdd(SaturatingAdd(reserves.system_bytes, reserves.agent_bytes),
                                         reserves.eviction_bytes);
  return std::max<int64_t>(0, SaturatingSub(capacity_bytes, reserved));
}

Memory Charge(int64_t workload_bytes, int64_t overhead_bytes, int64_t request_bytes) {
  return {.workload_bytes = workload_bytes,
          .overhead_bytes = overhead_bytes,
          .cgroup_max_bytes = SaturatingAdd(workload_bytes, overhead_bytes),
          .request_bytes = request_bytes >= workload_bytes ? 0 : request_bytes};
}

void Holdings::Add(const Memory& memory, const std::string& group, const UsageMoments& seen,
                   int64_t count) {
  if (IsGuaranteed(memory)) {
    fixed_bytes = SaturatingAdd(fixed_bytes, SaturatingMul(memory.cgroup_max_bytes, count));
    return;
  }
  burst_overhead_bytes =
      SaturatingAdd(burst_overhead_bytes, SaturatingMul(memory.overhead_bytes, count));
  burstable.push_back({.group = group,
                       .request_bytes = memory.request_bytes,
                       .limit_bytes = memory.workload_bytes,
                       .seen = seen,
                       .count = count});
}

int64_t Holdings::ChargedBytes() const {
  int64_t sum = SaturatingAdd(fixed_bytes, burst_overhead_bytes);
  for (const BurstDemand& demand : burstable) {
    sum = SaturatingAdd(sum, SaturatingMul(demand.request_bytes, demand.count));
  }
  return sum;
}

int64_t RequiredBytes(const Holdings& holdings, const BurstModel& model) {
  return SaturatingAdd(SaturatingAdd(holdings.fixed_bytes, holdings.burst_overhead_bytes),
                       model.Need(holdings.burstable).bytes);
}

namespace {

int64_t RequiredWith(const Holdings& holdings, const BurstModel& model, const Memory& next,
                     const std::string& group, const UsageMoments& seen) {
  Holdings with_next = holdings;
  with_next.Add(next, group, seen);
  return RequiredBytes(with_next, model);
}

}  // namespace

bool Fits(int64_t allocatable_bytes, const Holdings& holdings, const BurstModel& model,
          const Memory& next, const std::string& group, const UsageMoments& seen) {
  if (next.cgroup_max_bytes <= 0) return false;
  // Sums saturate: the one is asked as well as the whole.
  if (ChargedBytes(next) > Available(allocatable_bytes, holdings.ChargedBytes())) return false;
  return RequiredWith(holdings, model, next, group, seen) <= allocatable_bytes;
}

Status Admit(int64_t allocatable_bytes, const Holdings& holdings, const BurstModel& model,
             const Memory& next, const std::string& group, const UsageMoments& seen) {
  if (next.cgroup_max_bytes <= 0) {
    return Internal("a charge of ", next.cgroup_max_bytes, " bytes cannot be right");
  }
  if (Fits(allocatable_bytes, holdings, model, next, group, seen)) return absl::OkStatus();
  const int64_t before = RequiredBytes(holdings, model);
  const int64_t after = RequiredWith(holdings, model, next, group, seen);
  const int64_t available = Available(allocatable_bytes, before);
  const int64_t needed = std::max(ChargedBytes(next), SaturatingSub(after, before));
  ErrorDetail detail{.reason = "MEMORY_EXHAUSTED",
                     .constraint = "node.memory.allocatable_bytes",
                     .needed = StrCat(needed, " bytes"),
                     .available = StrCat(available, " bytes")};
  // On an empty node waiting does not help.
  Holdings empty;
  empty.Add(next, group, seen);
  if (RequiredBytes(empty, model) <= allocatable_bytes) {
    detail.retry_after = std::chrono::seconds(10);
  }
  const std::string parts =
      IsGuaranteed(next)
          ? StrCat(FormatBytes(next.workload_bytes), " for its program and ",
                   FormatBytes(next.overhead_bytes), " for its runtime")
          : StrCat("of up to ", FormatBytes(next.workload_bytes), " for its program, ",
                   FormatBytes(next.request_bytes), " are for it alone, and ",
                   FormatBytes(next.overhead_bytes), " for its runtime");
  return MakeError(
      StatusCode::kResourceExhausted,
      StrCat("no room: the sandbox needs ", FormatBytes(needed), " (", parts, "), ",
             FormatBytes(available), " of ", FormatBytes(allocatable_bytes), " are free"),
      detail);
}

int64_t MoreFit(int64_t allocatable_bytes, const Holdings& holdings, const BurstModel& model,
                const Memory& next, const std::string& group, const UsageMoments& seen) {
  if (ChargedBytes(next) <= 0) return 0;
  const int64_t free = Available(allocatable_bytes, RequiredBytes(holdings, model));
  if (IsGuaranteed(next)) return free / next.cgroup_max_bytes;
  // Each more adds at least its charge, so one beyond these never fits; and what is required grows
  // with each, so the bound is found by halving.
  int64_t fits = 0;
  int64_t too_many = 1 + Available(allocatable_bytes, holdings.ChargedBytes()) / ChargedBytes(next);
  while (too_many - fits > 1) {
    const int64_t middle = fits + (too_many - fits) / 2;
    Holdings more = holdings;
    more.Add(next, group, seen, middle);
    (RequiredBytes(more, model) <= allocatable_bytes ? fits : too_many) = middle;
  }
  return fits;
}

}  // namespace claw::budget
