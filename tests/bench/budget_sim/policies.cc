#include "tests/bench/budget_sim/policies.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "agent/base/bytes.h"
#include "agent/budget/ledger.h"
#include "agent/budget/overhead.h"

namespace claw::bench {
namespace {

// A charge that is a function of what was declared.
class Fixed final : public Policy {
 public:
  using Formula = int64_t (*)(const Arrival&);
  Fixed(int64_t overhead_bytes, Formula formula)
      : overhead_bytes_(overhead_bytes), formula_(formula) {}

  Charge ChargeOf(const Arrival& arrival, Time /*now*/) const override {
    return {.memory = budget::Charge(arrival.limit_bytes, overhead_bytes_, arrival.request_bytes),
            .charged_bytes = formula_(arrival)};
  }

 private:
  int64_t overhead_bytes_;
  Formula formula_;
};

Memory Plain(const Arrival& arrival) {
  return budget::Charge(arrival.limit_bytes, kOverheadPriorBytes, arrival.request_bytes);
}

// Knows what each will do for the rest of its life.
class Oracle final : public Policy {
 public:
  Charge ChargeOf(const Arrival& arrival, Time /*now*/) const override {
    return {.memory = Plain(arrival)};
  }

  bool knows_future() const override { return true; }

  bool Admits(const NodeView& node, const Running& next) override {
    for (int64_t step = next.start_step; step < next.end_step(); ++step) {
      const int64_t all = node.future_bytes[static_cast<size_t>(step)] + next.TotalAt(step);
      if (all > node.allocatable_bytes) return false;
    }
    return true;
  }
};

// Kubernetes' vertical pod autoscaler: the 90th percentile of the peaks of its class in a decaying
// histogram, and 15% on top; after an OOM kill a peak of max(1.2 x, + 100 MiB). One peak for each
// sandbox that has ended. Charges are fixed at admission.
class Vpa final : public Policy {
 public:
  explicit Vpa(const Shape& shape) : shape_(shape), model_(Rules()) {}

  Charge ChargeOf(const Arrival& arrival, Time now) const override {
    const Memory memory = Plain(arrival);
    const SandboxClass of = ClassOf(arrival);
    const int64_t unknown = SaturatingAdd(arrival.request_bytes, kOverheadPriorBytes);
    const auto seen = model_.records().find(OverheadKey(OverheadLevel::kImage, of));
    if (seen == model_.records().end()) return {.memory = memory, .charged_bytes = unknown};
    const int64_t estimate = model_.Estimate(of, 0, now).bytes;
    return {.memory = memory, .charged_bytes = std::min(estimate, memory.cgroup_max_bytes)};
  }

  void Ended(const NodeView& node, const Running& sandbox, bool killed) override {
    const auto lived = std::min(static_cast<size_t>(node.step - sandbox.start_step + 1),
                                sandbox.total_bytes.size());
    int64_t peak = *std::max_element(sandbox.total_bytes.begin(),
                                     sandbox.total_bytes.begin() + static_cast<ptrdiff_t>(lived));
    if (killed) peak = std::max(peak + peak / 5, peak + 100 * kMiB);
    model_.Add(ClassOf(sandbox.arrival), peak, node.now());
  }

 private:
  // The same histogram as that of overheads; no borrowing from other classes, no recent peak.
  static budget::OverheadRules Rules() {
    return {.quantile = 0.9,
            .half_life = std::chrono::hours(24),
            .recent_half_life = std::chrono::seconds(1),
            .full_trust = 0,
            .margin = 0.15};
  }
  SandboxClass ClassOf(const Arrival& arrival) const {
    return {.image_digest = shape_.classes[arrival.class_index].name};
  }

  const Shape& shape_;
  budget::OverheadModel model_;
};

// Mean and deviation of what all use together, for each sandbox there is (Bashir et al., EuroSys
// 2021), over an hour of looks. Nothing is known of classes. Until it has looked for five minutes
// it goes by requests as well.
class NSigma final : public Policy {
 public:
  explicit NSigma(double epsilon) : sigmas_(std::sqrt(2 * std::log(1 / epsilon))) {}

  Charge ChargeOf(const Arrival& arrival, Time /*now*/) const override {
    const Memory memory = Plain(arrival);
    return {.memory = memory, .charged_bytes = ChargedBytes(memory)};
  }

  bool Admits(const NodeView& node, const Running& next) override {
    if (weight_ < 60 && !Policy::Admits(node, next)) return false;
    const double spread = std::sqrt(std::max(0.0, square_ - mean_ * mean_));
    const auto count = static_cast<double>(node.running.size() + 1);
    return count * (mean_ + sigmas_ * spread) <= static_cast<double>(node.allocatable_bytes);
  }

  void Look(const NodeView& node) override {
    if (node.running.empty()) return;
    const double each = static_cast<double>(node.future_bytes[static_cast<size_t>(node.step)]) /
                        static_cast<double>(node.running.size());
    weight_ = std::min(weight_ + 1, 720.0);
    mean_ += (each - mean_) / weight_;
    square_ += (each * each - square_) / weight_;
  }

 private:
  double sigmas_;
  double weight_ = 0;
  double mean_ = 0;
  double square_ = 0;
};

struct Named {
  std::string name;
  std::string about;
};

std::vector<Named> AllPolicies() {
  return {{"oracle", "knows every demand to come and lets no sum of them exceed the node"},
          {"clawlet", "agent/budget, burstable sandboxes"},
          {"limits", "agent/budget, all guaranteed: the sum of limits"},
          {"requests", "the sum of requests, 64 MiB each as overhead (Kubernetes)"},
          {"static-256", "the sum of limits, 256 MiB each as overhead"},
          {"1.25x+2Gi", "1.25 x the limit + 2 GiB each"},
          {"vpa", "decaying 90th percentile of the class' peaks + 15%"},
          {"n-sigma", "mean and deviation of the node's use alone"}};
}

}  // namespace

Time NodeView::now() const {
  return FromMicros(int64_t{1'764'000'000} * 1'000'000 + step * (1'000'000 / kStepsPerSecond));
}

bool Policy::Admits(const NodeView& node, const Running& next) {
  return SaturatingAdd(node.charged_bytes, next.charged_bytes) <= node.allocatable_bytes;
}

std::vector<std::string> PolicyNames() {
  std::vector<std::string> names;
  const std::vector<Named> all = AllPolicies();
  for (const Named& one : all) names.push_back(one.name);
  return names;
}

std::string AboutPolicy(const std::string& name) {
  const std::vector<Named> all = AllPolicies();
  for (const Named& one : all) {
    if (one.name == name) return one.about;
  }
  return "";
}

std::unique_ptr<Policy> MakePolicy(const std::string& name, const Shape& shape,
                                   const budget::BurstRules& rules) {
  if (name == "oracle") return std::make_unique<Oracle>();
  if (name == "clawlet") return MakeClawlet(shape, rules, false);
  if (name == "limits") return MakeClawlet(shape, rules, true);
  if (name == "requests") {
    return std::make_unique<Fixed>(kOverheadPriorBytes,
                                   [](const Arrival& one) { return ChargedBytes(Plain(one)); });
  }
  if (name == "static-256") {
    return std::make_unique<Fixed>(256 * kMiB,
                                   [](const Arrival& one) { return one.limit_bytes + 256 * kMiB; });
  }
  if (name == "1.25x+2Gi") {
    return std::make_unique<Fixed>(2 * kGiB, [](const Arrival& one) {
      return one.limit_bytes + one.limit_bytes / 4 + 2 * kGiB;
    });
  }
  if (name == "vpa") return std::make_unique<Vpa>(shape);
  if (name == "n-sigma") return std::make_unique<NSigma>(rules.epsilon);
  return nullptr;
}

}  // namespace claw::bench
