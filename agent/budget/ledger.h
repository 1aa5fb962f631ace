#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/status.h"
#include "agent/budget/burst.h"
#include "agent/model/resources.h"

namespace claw::budget {

// What is kept back from tenants, in bytes.
struct Reserves {
  int64_t system_bytes = 0;
  int64_t agent_bytes = 0;
  int64_t eviction_bytes = 0;
};

// What an administrator has set; absent: the default.
struct ReserveSettings {
  std::optional<int64_t> system_bytes{};
  std::optional<int64_t> agent_bytes{};
  std::optional<int64_t> eviction_bytes{};
};

// Defaults: for the system 5% of the memory, at least 256 MiB and at most 1 GiB; 64 MiB for the
// agent; 100 MiB as the eviction threshold. On a tiny machine they are scaled down together, so
// that all reserves take no more than half of it.
Reserves ResolveReserves(const ReserveSettings& settings, int64_t capacity_bytes);

// capacity - reserves, never below 0.
int64_t Allocatable(int64_t capacity_bytes, const Reserves& reserves);

// What a sandbox is charged, from what its tenant bought and the overhead of its runtime.
// `request_bytes` is of a burstable one; 0, or all of the workload: guaranteed.
Memory Charge(int64_t workload_bytes, int64_t overhead_bytes, int64_t request_bytes = 0);

// The sandboxes that a node holds, as far as memory is concerned, and what is set aside for them.
struct Holdings {
  int64_t fixed_bytes = 0;           // sum of ChargedBytes of guaranteed ones, and of tests
  int64_t burst_overhead_bytes = 0;  // of burstable ones
  std::vector<BurstDemand> burstable{};

  void Add(const Memory& memory, const std::string& group, const UsageMoments& seen,
           int64_t count = 1);
  // Sum of ChargedBytes.
  int64_t ChargedBytes() const;
};

// What is set aside for all of them: the sum of their charges, and on top what burstable ones need
// so that the chance of running out stays below the model's epsilon.
int64_t RequiredBytes(const Holdings& holdings, const BurstModel& model);

// Whether what is required fits when `next` is one of the holdings.
bool Fits(int64_t allocatable_bytes, const Holdings& holdings, const BurstModel& model,
          const Memory& next, const std::string& group = {}, const UsageMoments& seen = {});

// The same in words. RESOURCE_EXHAUSTED, reason
// MEMORY_EXHAUSTED, with needed (what `next` adds) and available.
Status Admit(int64_t allocatable_bytes, const Holdings& holdings, const BurstModel& model,
             const Memory& next, const std::string& group = {}, const UsageMoments& seen = {});

// How many more like `next` fit, one after the other; 0 for one whose charge is not positive.
int64_t MoreFit(int64_t allocatable_bytes, const Holdings& holdings, const BurstModel& model,
                const Memory& next, const std::string& group = {}, const UsageMoments& seen = {});

}  // namespace claw::budget
