#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/placement/table.h"
#include "tests/bench/budget_sim/random.h"

namespace claw::bench {

struct FleetShape {
  int64_t targets = 0;
  int64_t sandboxes = 0;    // over all targets
  double burstable = 0;     // share of them
  bool one_tenant = false;  // every demand is one tenant's, who is on every target
};

// Made-up targets of ten platforms with sandboxes of a thousand tenants and fifty images, some
// full and some half empty, and demands of the same kind. The same seed gives the same. Stays where
// it is: its targets point into it.
class Fleet {
 public:
  Fleet(const FleetShape& shape, uint64_t seed);
  Fleet(const Fleet&) = delete;
  Fleet& operator=(const Fleet&) = delete;

  placement::Table& table() { return table_; }
  const placement::Settings& settings() const { return settings_; }
  int64_t sandboxes() const { return sandboxes_; }  // that were there at first

  placement::Demand NextDemand();
  // What a demand is recorded as that was given an offer.
  Sandbox Record(const placement::Demand& demand, const placement::Offer& offer);

 private:
  placement::Target MakeTarget(int64_t index);
  Sandbox MakeSandbox();

  FleetShape shape_;
  Random random_;
  budget::OverheadModel overheads_;
  budget::BurstModel burst_;
  placement::Settings settings_;
  std::vector<std::shared_ptr<const placement::Platform>> platforms_;
  placement::Table table_;
  int64_t next_id_ = 0;
  int64_t sandboxes_ = 0;
};

constexpr char kRareLabel[] = "disk";  // one target in a hundred has it, with the value "nvme"

}  // namespace claw::bench
