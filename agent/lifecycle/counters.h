#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "agent/base/status.h"
#include "agent/model/sandbox.h"
#include "agent/model/usage.h"

namespace claw::lifecycle {

// How many durations lie between fixed bounds. Value type.
struct DurationHistogram {
  // Upper bounds in seconds; containers start in some hundredths, gVisor in some tenths.
  static constexpr std::array<double, 11> kBounds = {0.025, 0.05, 0.1, 0.25, 0.5, 1,
                                                     2.5,   5,    10,  30,   60};

  std::array<int64_t, kBounds.size() + 1> counts{};  // not cumulative; the last is above them all
  double sum_seconds = 0;

  void Add(double seconds);
};

// What has happened since the agent began; it all starts at 0 with the agent, nothing is recorded.
// Value type.
struct Counters {
  struct Starts {
    int64_t running = 0;
    int64_t failed = 0;
    DurationHistogram took{};  // of those that run: from the reservation on
  };
  std::map<std::string, Starts> starts{};  // by driver
  // By driver and reason: ToString(EndReason), or "LOST" if none is known.
  std::map<std::pair<std::string, std::string>, int64_t> exits{};
  std::map<std::string, int64_t> refusals{};  // of starts; by the reason in the error's detail
  int64_t evictions = 0;                      // sandboxes that ended because they had to go
  int64_t oom_kills = 0;

  void CountStart(const std::string& driver, bool runs, std::chrono::nanoseconds took);
  // A request that was refused before anything was reserved for it. Takes no more than a bounded
  // number of reasons; others count as "OTHER".
  void CountRefusal(const Status& why);
  void CountExit(const Sandbox& ended, bool evicted);
};

// The node's sandboxes and tenants, in one pass.
struct Tally {
  struct TenantTally {
    int64_t sandboxes = 0;  // that are charged
    int64_t charged_workload_bytes = 0;
    int64_t charged_overhead_bytes = 0;
    ByteSeconds charged{};  // ever; never less than in an earlier tally of this agent
  };
  std::map<std::string, TenantTally> tenants{};  // every one that there is
  // By driver and state, released ones included.
  std::map<std::pair<std::string, SandboxState>, int64_t> sandboxes{};
  int64_t images = 0;
};

}  // namespace claw::lifecycle
