#include "tests/bench/budget_sim/simulator.h"

#include <algorithm>
#include <optional>

#include "agent/budget/evict.h"
#include "agent/budget/ledger.h"

namespace claw::bench {
namespace {

constexpr int64_t kStepsPerWindow = 60 * kStepsPerSecond;

class Node {
 public:
  Node(const NodeSetup& setup, const Workload& workload, Policy& policy)
      : setup_(setup),
        workload_(workload),
        policy_(policy),
        allocatable_bytes_(budget::Allocatable(setup.capacity_bytes,
                                               budget::ResolveReserves({}, setup.capacity_bytes))),
        quiet_steps_(static_cast<int64_t>(workload.shape().quiet_seconds) * kStepsPerSecond),
        future_bytes_(static_cast<size_t>(setup.steps + kMaxLifeSteps + 1)) {}

  Outcome Run() {
    bool missed_look = false;
    bool missed_window = false;
    for (step_ = 0; step_ < setup_.steps; ++step_) {
      const bool look = step_ % kStepsPerLook == kStepsPerLook - 1;
      if (RemoveEnded() || look || !blocked_) Start();
      if (Relieve()) missed_look = missed_window = true;
      if (look) {
        policy_.Look(View());
        ++outcome_.looks;
        outcome_.missed_looks += missed_look ? 1 : 0;
        missed_look = false;
      }
      if (step_ % kStepsPerWindow == kStepsPerWindow - 1) {
        ++outcome_.windows;
        outcome_.missed_windows += missed_window ? 1 : 0;
        missed_window = false;
      }
      if (step_ < std::max(setup_.warm_up_steps, quiet_steps_)) continue;
      ++outcome_.counted_steps;
      outcome_.running_sum += static_cast<double>(running_.size());
      outcome_.used_sum += static_cast<double>(Wanted()) / static_cast<double>(allocatable_bytes_);
    }
    outcome_.epsilon = policy_.epsilon();
    return outcome_;
  }

 private:
  NodeView View() const {
    return {.step = step_,
            .allocatable_bytes = allocatable_bytes_,
            .charged_bytes = charged_bytes_,
            .running = running_,
            .future_bytes = future_bytes_};
  }
  // Nobody asks for more.
  bool IsQuiet() const {
    return step_ < quiet_steps_ &&
           static_cast<int64_t>(running_.size()) >= workload_.shape().quiet_running;
  }
  int64_t Wanted() const { return future_bytes_[static_cast<size_t>(step_)]; }

  // Adds its demand from now on to what is to come, or takes it away.
  void Count(const Running& sandbox, int64_t sign) {
    charged_bytes_ += sign * sandbox.charged_bytes;
    for (int64_t step = std::max(step_, sandbox.start_step); step < sandbox.end_step(); ++step) {
      future_bytes_[static_cast<size_t>(step)] += sign * sandbox.TotalAt(step);
    }
  }

  void Remove(size_t place, bool killed) {
    policy_.Ended(View(), running_[place], killed);
    Count(running_[place], -1);
    running_.erase(running_.begin() + static_cast<ptrdiff_t>(place));
  }

  bool RemoveEnded() {
    bool any = false;
    for (size_t place = running_.size(); place-- > 0;) {
      if (running_[place].end_step() > step_) continue;
      Remove(place, false);
      any = true;
    }
    return any;
  }

  void Start() {
    blocked_ = false;
    for (int64_t started = 0; started < setup_.starts_per_step; ++started) {
      if (IsQuiet()) return;
      if (!head_) head_ = workload_.ArrivalAt(next_index_++);
      const Charge charge = policy_.ChargeOf(*head_, View().now());
      Running next{.arrival = *head_,
                   .memory = charge.memory,
                   .charged_bytes = charge.charged_bytes,
                   .start_step = step_};
      if (policy_.knows_future()) next.total_bytes = TotalOf(next);
      if (!policy_.Admits(View(), next)) {
        blocked_ = true;
        return;
      }
      if (next.total_bytes.empty()) next.total_bytes = TotalOf(next);
      Count(next, 1);
      running_.push_back(std::move(next));
      head_.reset();
      ++outcome_.starts;
    }
  }

  std::vector<int64_t> TotalOf(const Running& next) const {
    std::vector<int64_t> total = workload_.DemandOf(next.arrival, step_);
    for (int64_t& bytes : total) {
      bytes = std::min(bytes + next.arrival.overhead_bytes, next.memory.cgroup_max_bytes);
    }
    return total;
  }

  // Whether more was wanted than there is.
  bool Relieve() {
    if (Wanted() <= allocatable_bytes_) return false;
    while (Wanted() > allocatable_bytes_ && KillOne()) {
    }
    return true;
  }

  bool KillOne() {
    std::vector<budget::EvictionCandidate> candidates;
    for (size_t place = 0; place < running_.size(); ++place) {
      const Running& one = running_[place];
      candidates.push_back({.id = std::to_string(place),
                            .guaranteed = IsGuaranteed(one.memory),
                            .used_bytes = one.ProgramAt(step_),
                            .request_bytes = one.arrival.request_bytes,
                            .started_at = FromMicros(one.start_step)});
    }
    const std::optional<budget::EvictionCandidate> victim = budget::ChooseVictim(candidates);
    if (!victim) return false;
    ++outcome_.kills;
    outcome_.kills_within_request += victim->over_bytes() <= 0 ? 1 : 0;
    Remove(std::stoul(victim->id), true);
    return true;
  }

  const NodeSetup& setup_;
  const Workload& workload_;
  Policy& policy_;
  int64_t allocatable_bytes_;
  int64_t quiet_steps_;
  std::vector<int64_t> future_bytes_;
  std::vector<Running> running_;
  std::optional<Arrival> head_;
  bool blocked_ = false;
  int64_t next_index_ = 0;
  int64_t step_ = 0;
  int64_t charged_bytes_ = 0;
  Outcome outcome_;
};

}  // namespace

void Outcome::Add(const Outcome& other) {
  epsilon = starts == 0 ? other.epsilon : std::min(epsilon, other.epsilon);
  counted_steps += other.counted_steps;
  running_sum += other.running_sum;
  used_sum += other.used_sum;
  looks += other.looks;
  missed_looks += other.missed_looks;
  windows += other.windows;
  missed_windows += other.missed_windows;
  starts += other.starts;
  kills += other.kills;
  kills_within_request += other.kills_within_request;
}

Outcome Simulate(const NodeSetup& setup, const Workload& workload, Policy& policy) {
  return Node(setup, workload, policy).Run();
}

}  // namespace claw::bench
