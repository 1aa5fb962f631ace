#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "agent/budget/burst.h"
#include "agent/model/resources.h"
#include "tests/bench/budget_sim/traces.h"

// Who says whether one more sandbox fits.

namespace claw::bench {

// What drivers guess as the overhead of a runtime, see drivers/gvisor.
constexpr int64_t kOverheadPriorBytes = 64 * kMiB;
constexpr int64_t kStepsPerLook = 5 * kStepsPerSecond;

// A sandbox on the simulated node.
struct Running {
  Arrival arrival{};
  Memory memory{};
  int64_t charged_bytes = 0;
  int64_t start_step = 0;
  std::vector<int64_t>
      total_bytes{};  // program and overhead by step of its life, within its cgroup

  int64_t end_step() const { return start_step + static_cast<int64_t>(total_bytes.size()); }
  int64_t TotalAt(int64_t step) const {
    return total_bytes[static_cast<size_t>(step - start_step)];
  }
  int64_t ProgramAt(int64_t step) const { return TotalAt(step) - arrival.overhead_bytes; }
};

// What policies may see, save `future_bytes`, which is the oracle's alone.
struct NodeView {
  int64_t step = 0;
  int64_t allocatable_bytes = 0;
  int64_t charged_bytes = 0;
  const std::vector<Running>& running;
  const std::vector<int64_t>& future_bytes;  // the sum over all that run, by absolute step

  Time now() const;
};

struct Charge {
  Memory memory{};            // cgroup_max_bytes holds, whatever the program wants
  int64_t charged_bytes = 0;  // by itself
};

class Policy {
 public:
  virtual ~Policy() = default;

  virtual Charge ChargeOf(const Arrival& arrival, Time now) const = 0;
  // Whether `next` comes with its demand when it asks to be admitted.
  virtual bool knows_future() const { return false; }
  // Whether it fits; as it stands, if the sum of charges does.
  virtual bool Admits(const NodeView& node, const Running& next);
  // Each five seconds.
  virtual void Look(const NodeView& /*node*/) {}
  // At the end of a life, or when it had to go for want of memory.
  virtual void Ended(const NodeView& /*node*/, const Running& /*sandbox*/, bool /*killed*/) {}
  // How its target was moved; 0: it has none.
  virtual double epsilon() const { return 0; }
};

// "clawlet" and those it is compared with, "oracle" first.
std::vector<std::string> PolicyNames();
std::string AboutPolicy(const std::string& name);
// `rules` are clawlet's, and their epsilon is that of N-sigma too.
std::unique_ptr<Policy> MakePolicy(const std::string& name, const Shape& shape,
                                   const budget::BurstRules& rules);
// clawlet_policy.cc: the node's own code, for burstable sandboxes or for guaranteed ones.
std::unique_ptr<Policy> MakeClawlet(const Shape& shape, const budget::BurstRules& rules,
                                    bool guaranteed);

}  // namespace claw::bench
