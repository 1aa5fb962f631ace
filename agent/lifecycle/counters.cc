#include "agent/lifecycle/counters.h"

#include <algorithm>

namespace claw::lifecycle {
namespace {

// Reasons are constants of the program; this is for the one that is not.
constexpr size_t kMaxReasons = 64;

}  // namespace

void DurationHistogram::Add(double seconds) {
  const auto* const bound = std::lower_bound(kBounds.begin(), kBounds.end(), seconds);
  ++counts[static_cast<size_t>(bound - kBounds.begin())];
  sum_seconds += seconds;
}

void Counters::CountStart(const std::string& driver, bool runs, std::chrono::nanoseconds took) {
  Starts& of_driver = starts[driver];
  if (!runs) {
    ++of_driver.failed;
    return;
  }
  ++of_driver.running;
  of_driver.took.Add(std::chrono::duration<double>(took).count());
}

void Counters::CountRefusal(const Status& why) {
  std::string reason = GetErrorDetail(why).value_or(ErrorDetail{}).reason;
  const bool fits = refusals.count(reason) > 0 || refusals.size() < kMaxReasons;
  if (reason.empty() || !fits) reason = "OTHER";
  ++refusals[reason];
}

void Counters::CountExit(const Sandbox& ended, bool evicted) {
  const EndReason reason = ended.exit ? ended.exit->reason : EndReason::kNone;
  ++exits[{ended.driver, std::string(reason == EndReason::kNone ? "LOST" : ToString(reason))}];
  if (evicted) ++evictions;
  if (reason == EndReason::kOomKilled) ++oom_kills;
}

}  // namespace claw::lifecycle
