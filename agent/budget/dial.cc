#include "agent/budget/dial.h"

#include <algorithm>
#include <cmath>

#include "agent/base/strings.h"

namespace claw::budget {
namespace {

using std::chrono::microseconds;
using std::chrono::seconds;

// The kernel's own average covers so long.
constexpr microseconds kAverageSpan = seconds(10);
// One look can be chance; who is evicted does not come back.
constexpr int kLooksBeforeEviction = 2;

std::string Percent(double share) { return StrCat(std::lround(share * 100), "%"); }

std::chrono::milliseconds ToMillis(microseconds time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time);
}

}  // namespace

double Dial::StallOf(const MemoryPressure& pressure) const {
  const double average = std::clamp(pressure.some_avg10_percent / 100, 0.0, 1.0);
  if (!last_) return average;
  const microseconds passed = pressure.at - last_->at;
  if (passed > kAverageSpan) return average;
  if (passed.count() <= 0) return stall_;
  const auto stalled = static_cast<double>(pressure.some_micros - last_->some_micros);
  return std::clamp(stalled / static_cast<double>(passed.count()), 0.0, 1.0);
}

PressureBand Dial::BandOf(double stall) const {
  if (stall >= rules_.refuse_at) return PressureBand::kRefuse;
  return stall >= rules_.shrink_at ? PressureBand::kShrink : PressureBand::kCalm;
}

void Dial::Look(const PressureLook& look) {
  const MemoryPressure& now = look.pressure;
  const double seen = StallOf(now);
  // Counters that went back are those of a cgroup that was made anew.
  const bool hit = last_ && now.group_limit_hits > last_->group_limit_hits;
  const bool oom = last_ && now.group_ooms > last_->group_ooms;
  short_ = hit || oom || now.available_bytes < rules_.short_bytes;
  explained_ = !short_ && look.at_own_limit > 0 && seen >= rules_.shrink_at;
  stall_ = seen;
  const double counted = explained_ ? 0 : seen;
  hard_looks_ = short_ && counted >= rules_.evict_at ? hard_looks_ + 1 : 0;
  last_ = now;
  MoveBand(oom ? std::max(counted, rules_.refuse_at) : counted, now.at);
  MoveLimit(oom || counted >= rules_.refuse_at, look.running, now.at);
}

void Dial::MoveBand(double stall, microseconds now) {
  PressureBand wanted = BandOf(stall);
  if (hard_looks_ >= kLooksBeforeEviction) wanted = PressureBand::kEvict;
  if (wanted >= band_) {
    band_ = wanted;
    calm_since_ = now;
    return;
  }
  double leave_below = rules_.shrink_at;
  if (band_ == PressureBand::kRefuse) leave_below = rules_.refuse_at;
  if (band_ == PressureBand::kEvict) leave_below = rules_.evict_at;
  if (stall >= leave_below / 2) {
    calm_since_ = now;
  } else if (now - calm_since_ >= rules_.calm_after) {
    band_ = static_cast<PressureBand>(static_cast<int>(band_) - 1);
    calm_since_ = now;
  }
}

void Dial::MoveLimit(bool pressed, int64_t running, microseconds now) {
  if (pressed) {
    pressed_at_ = now;
    if (limit_ && now - limit_moved_ < rules_.step) return;
    const auto base = static_cast<double>(std::min(limit_.value_or(running), running));
    limit_ = std::max<int64_t>(1, static_cast<int64_t>(std::floor(base * rules_.decrease)));
    limit_moved_ = now;
    return;
  }
  if (!limit_) return;
  if (now - pressed_at_ >= rules_.forget_after) {
    limit_.reset();
  } else if (now - limit_moved_ >= rules_.step && band_ < PressureBand::kRefuse) {
    // Where the limit is not what holds the node back, nothing is learned by raising it.
    if (2 * running >= *limit_) ++*limit_;
    limit_moved_ = now;
  }
}

Status Dial::AdmitStart(int64_t running) const {
  if (band_ >= PressureBand::kRefuse) {
    return MakeError(StatusCode::kResourceExhausted,
                     StrCat("the node is short of memory and starts nothing now: ", Percent(stall_),
                            " of the time some program waits for it"),
                     {.reason = "MEMORY_PRESSURE",
                      .constraint = "node.memory.pressure",
                      .needed = StrCat("a stall below ", Percent(rules_.refuse_at / 2), " for ",
                                       rules_.calm_after / seconds(1), " s"),
                      .available = StrCat("a stall of ", Percent(stall_)),
                      .retry_after = ToMillis(rules_.calm_after)});
  }
  if (!limit_ || running < *limit_) return absl::OkStatus();
  return MakeError(StatusCode::kResourceExhausted,
                   StrCat("the node was short of memory a while ago: ", running,
                          " sandboxes run, and for now no more than ", *limit_, " may"),
                   {.reason = "CONCURRENCY_DIALLED_BACK",
                    .constraint = "node.concurrency.limit",
                    .needed = StrCat(running + 1, " sandboxes"),
                    .available = StrCat(*limit_, " sandboxes"),
                    .retry_after = ToMillis(rules_.step)});
}

}  // namespace claw::budget
