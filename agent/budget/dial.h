#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "agent/base/status.h"
#include "agent/model/pressure.h"

// How far a node under memory pressure is dialled back. Pure: the caller brings what the kernel
// says.
//
// The stall is the share of time in which some task waited for memory since the last look. It moves
// the node through the bands of agent/model/pressure.h: up at once, down one band at a time and
// only after `calm_after` below half of the band's threshold. Stall alone does not prove that the
// node is short: one tenant that thrashes at its own limit makes the whole machine's figure rise.
// So it counts only if nobody who is at its own limit explains it, or if the node is short indeed:
// the sandboxes together run into the limit around them, or what the kernel could hand out is less
// than `short_bytes`.
//
// Beside the bands there is a limit on how many sandboxes may run, moved as TCP and Netflix'
// concurrency-limits do (additive increase, multiplicative decrease): times 0.9 with each look
// under pressure, plus one for each `step` without, not raised while less than half of it is used.

namespace claw::budget {

struct DialRules {
  // Shares of time. systemd-oomd kills at 60% over 30 s; starts, which are cheap to put off, are
  // refused long before, and caches are given back before that.
  double shrink_at = 0.05;
  double refuse_at = 0.10;
  double evict_at = 0.40;
  std::chrono::microseconds calm_after = std::chrono::seconds(10);
  int64_t short_bytes = 0;
  double decrease = 0.9;
  std::chrono::microseconds step = std::chrono::seconds(5);
  // After so long without pressure there is no limit any more.
  std::chrono::microseconds forget_after = std::chrono::minutes(10);
};

struct PressureLook {
  MemoryPressure pressure{};
  int64_t at_own_limit = 0;  // sandboxes that ran into their own limit since the last look
  int64_t running = 0;
};

// Value type.
class Dial {
 public:
  explicit Dial(DialRules rules = {}) : rules_(rules) {}

  const DialRules& rules() const { return rules_; }

  // The stall since the last look, 0 to 1, without looking. What is older than ten seconds does not
  // count.
  double StallOf(const MemoryPressure& pressure) const;
  // Whether Look needs to know how many sandboxes are at their own limit.
  bool NeedsCulprits(const MemoryPressure& pressure) const {
    return StallOf(pressure) >= rules_.shrink_at;
  }

  // Moves the band and the limit. Looks come in the order of their times.
  void Look(const PressureLook& look);

  PressureBand band() const { return band_; }
  double stall() const { return stall_; }
  bool is_short() const { return short_; }
  // The stall is that of sandboxes at their own limits.
  bool explained() const { return explained_; }
  // Most sandboxes that may run; absent: pressure sets no limit.
  std::optional<int64_t> limit() const { return limit_; }
  // There is something to wait for: a band or a limit that will go, if it is looked again.
  bool settled() const { return band_ == PressureBand::kCalm && !limit_; }

  // Whether one more may start beside `running`. RESOURCE_EXHAUSTED, reason MEMORY_PRESSURE or
  // CONCURRENCY_DIALLED_BACK, with retry_after.
  Status AdmitStart(int64_t running) const;

 private:
  PressureBand BandOf(double stall) const;
  void MoveBand(double stall, std::chrono::microseconds now);
  void MoveLimit(bool pressed, int64_t running, std::chrono::microseconds now);

  DialRules rules_;
  std::optional<MemoryPressure> last_;
  PressureBand band_ = PressureBand::kCalm;
  double stall_ = 0;
  bool short_ = false;
  bool explained_ = false;
  int hard_looks_ = 0;                      // in a row at which something would have to be evicted
  std::chrono::microseconds calm_since_{};  // below half of the band's threshold
  std::optional<int64_t> limit_;
  std::chrono::microseconds limit_moved_{};
  std::chrono::microseconds pressed_at_{};
};

}  // namespace claw::budget
