#include <map>

#include "agent/budget/ledger.h"
#include "agent/budget/overhead.h"
#include "tests/bench/budget_sim/policies.h"

namespace claw::bench {
namespace {

// As in the node's own configuration.
constexpr int64_t kStepsPerWindow = 60 * kStepsPerSecond;

// Drives agent/budget as agent/lifecycle does: admit.cc before a start, measure.cc at each look.
class Clawlet final : public Policy {
 public:
  Clawlet(const Shape& shape, const budget::BurstRules& rules, bool guaranteed)
      : shape_(shape), guaranteed_(guaranteed), burst_(rules) {}

  Charge ChargeOf(const Arrival& arrival, Time now) const override {
    const int64_t overhead =
        overheads_.Estimate(ClassOf(arrival.class_index), kOverheadPriorBytes, now).bytes;
    const Memory memory =
        budget::Charge(arrival.limit_bytes, overhead, guaranteed_ ? 0 : arrival.request_bytes);
    return {.memory = memory, .charged_bytes = ChargedBytes(memory)};
  }

  bool Admits(const NodeView& node, const Running& next) override {
    const SandboxClass of = ClassOf(next.arrival.class_index);
    return budget::Admit(node.allocatable_bytes, HoldingsOf(node), burst_, next.memory,
                         of.image_digest, overheads_.Usage(of, node.now()))
        .ok();
  }

  void Look(const NodeView& node) override {
    int64_t used_bytes = 0;
    for (const Running& one : node.running) {
      const int64_t program = one.ProgramAt(node.step);
      used_bytes += guaranteed_ ? 0 : program;
      const auto [it, is_new] = windows_.try_emplace(one.arrival.index);
      Window& window = it->second;
      if (is_new) window.began_step = node.step;
      const auto used = static_cast<double>(program);
      window.peak_bytes = std::max(window.peak_bytes, one.TotalAt(node.step) - program);
      window.sum += used;
      window.square_sum += used * used;
      ++window.looks;
      if (node.step - window.began_step >= kStepsPerWindow) Close(node, one);
    }
    burst_.Observe(HoldingsOf(node).burstable, used_bytes, ran_out_);
    ran_out_ = false;
  }

  void Ended(const NodeView& node, const Running& sandbox, bool killed) override {
    if (killed) ran_out_ = true;
    Close(node, sandbox);
  }

  double epsilon() const override { return guaranteed_ ? 0 : burst_.epsilon(); }

 private:
  // agent/lifecycle/entry.h
  struct Window {
    int64_t began_step = 0;
    int64_t peak_bytes = 0;
    double sum = 0;
    double square_sum = 0;
    double looks = 0;
  };

  SandboxClass ClassOf(size_t class_index) const {
    return {.image_digest = shape_.classes[class_index].name,
            .image_family = {},
            .driver = "gvisor",
            .runtime_version = "1",
            .platform = "systrap",
            .architecture = "amd64",
            .page_size_bytes = 4096};
  }

  budget::Holdings HoldingsOf(const NodeView& node) const {
    std::vector<SandboxClass> classes;
    std::vector<UsageMoments> seen;
    for (size_t i = 0; i < shape_.classes.size(); ++i) {
      classes.push_back(ClassOf(i));
      seen.push_back(overheads_.Usage(classes.back(), node.now()));
    }
    budget::Holdings holdings;
    for (const Running& one : node.running) {
      const size_t of = one.arrival.class_index;
      holdings.Add(one.memory, classes[of].image_digest, seen[of]);
    }
    return holdings;
  }

  void Close(const NodeView& node, const Running& sandbox) {
    const auto it = windows_.find(sandbox.arrival.index);
    if (it == windows_.end()) return;
    const Window& window = it->second;
    overheads_.Add(ClassOf(sandbox.arrival.class_index), window.peak_bytes, node.now(),
                   {.weight = 1,
                    .mean_sum = window.sum / window.looks,
                    .square_sum = window.square_sum / window.looks});
    windows_.erase(it);
  }

  const Shape& shape_;
  bool guaranteed_;
  bool ran_out_ = false;
  budget::BurstModel burst_;
  budget::OverheadModel overheads_;
  std::map<int64_t, Window> windows_;  // by place in the queue
};

}  // namespace

std::unique_ptr<Policy> MakeClawlet(const Shape& shape, const budget::BurstRules& rules,
                                    bool guaranteed) {
  return std::make_unique<Clawlet>(shape, rules, guaranteed);
}

}  // namespace claw::bench
