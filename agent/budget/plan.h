#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/budget/ledger.h"

// How many sandboxes a machine would hold. Pure: the same arithmetic as admission's, asked about an
// empty node.

namespace claw::budget {

struct PlanQuestion {
  int64_t capacity_bytes = 0;
  bool vm = false;  // a guest: its kernel takes a part before there is anything to hand out
  ReserveSettings reserves{};
  // Shares of the sandboxes; not negative, not both 0.
  double trusted = 0;
  double untrusted = 0;
  int64_t workload_bytes = 0;
  int64_t request_bytes = 0;  // 0: guaranteed
  // What one is charged beside its workload, as learned and as the drivers guess.
  struct Overhead {
    int64_t learned_bytes = 0;
    int64_t prior_bytes = 0;
  };
  Overhead runc{};
  Overhead gvisor{};
  // What is known of burstable ones.
  std::string group{};
  UsageMoments runc_seen{};
  UsageMoments gvisor_seen{};
};

struct PlanScenario {
  std::string name{};  // "runc", "gvisor", "hybrid"
  int64_t trusted = 0;
  int64_t untrusted = 0;
  int64_t workload_bytes = 0;
  int64_t overhead_bytes = 0;
  int64_t without_overhead = 0;  // how many would fit if runtimes cost nothing
  int64_t at_prior = 0;          // if they cost what the drivers guess
  bool allowed = true;           // untrusted code is under gVisor

  int64_t sandboxes() const { return trusted + untrusted; }
};

struct PlanAnswer {
  int64_t kernel_bytes = 0;  // of a guest's memory, its own kernel's
  Reserves reserves{};
  int64_t allocatable_bytes = 0;
  std::vector<PlanScenario> scenarios{};
};

// INVALID_ARGUMENT for shares that are none.
StatusOr<PlanAnswer> PlanCapacity(const PlanQuestion& question, const BurstModel& model);

// What a Linux guest's kernel keeps of its memory: 64 bytes for each page of 4 KiB (struct page),
// and 64 MiB for itself, which is assumed and not measured.
int64_t GuestKernelBytes(int64_t memory_bytes);

}  // namespace claw::budget
