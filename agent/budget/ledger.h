#pragma once

#include <cstdint>
#include <vector>

#include "agent/base/status.h"
#include "agent/model/resources.h"

namespace claw::budget {

// What is kept back from tenants, in bytes.
struct Reserves {
  int64_t system_bytes = 0;
  int64_t agent_bytes = 0;
  int64_t eviction_bytes = 0;
};

// capacity - reserves, never below 0.
int64_t Allocatable(int64_t capacity_bytes, const Reserves& reserves);

// What a sandbox is charged, from what its tenant bought and the overhead of its runtime.
Memory Charge(int64_t workload_bytes, int64_t overhead_bytes);

// Whether one more charge fits beside those that are there. "Used" is their sum, made anew each
// time. RESOURCE_EXHAUSTED, reason MEMORY_EXHAUSTED, with needed and available.
Status Admit(int64_t allocatable_bytes, int64_t charged_bytes, const Memory& memory);

// How many such charges fit beside those that are there; 0 for one that is not positive.
int64_t MoreFit(int64_t allocatable_bytes, int64_t charged_bytes, const Memory& memory);

}  // namespace claw::budget
