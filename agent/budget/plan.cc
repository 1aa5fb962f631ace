#include "agent/budget/plan.h"

#include <algorithm>
#include <cmath>

#include "agent/base/bytes.h"
#include "agent/base/strings.h"

namespace claw::budget {
namespace {

constexpr double kMostShare = 1e6;
constexpr int64_t kGuestKernel = 64 * kMiB;
// No machine runs more, and counting on would say nothing.
constexpr int64_t kMostSandboxes = 1'000'000;

// One kind of sandboxes in a scenario.
struct Kind {
  Memory memory{};
  UsageMoments seen{};
};

Memory ChargeOf(const PlanQuestion& question, int64_t overhead_bytes) {
  return Charge(question.workload_bytes, overhead_bytes, question.request_bytes);
}

// Of `all`, as the shares have it, to the nearest whole one.
int64_t TrustedOf(const PlanQuestion& question, int64_t all) {
  const double share = question.trusted / (question.trusted + question.untrusted);
  return static_cast<int64_t>(std::llround(static_cast<double>(all) * share));
}

// The most sandboxes, split by the shares, that an empty node holds.
int64_t Fit(const PlanQuestion& question, int64_t allocatable_bytes, const BurstModel& model,
            const Kind& trusted, const Kind& untrusted) {
  const auto fits = [&](int64_t all) {
    const int64_t first = TrustedOf(question, all);
    Holdings holdings;
    holdings.Add(trusted.memory, question.group, trusted.seen, first);
    holdings.Add(untrusted.memory, question.group, untrusted.seen, all - first);
    return RequiredBytes(holdings, model) <= allocatable_bytes;
  };
  int64_t most = 0;
  int64_t too_many = kMostSandboxes + 1;
  while (too_many - most > 1) {
    const int64_t middle = most + (too_many - most) / 2;
    (fits(middle) ? most : too_many) = middle;
  }
  return most;
}

}  // namespace

int64_t GuestKernelBytes(int64_t memory_bytes) {
  return std::min(memory_bytes, SaturatingAdd(memory_bytes / 64, kGuestKernel));
}

StatusOr<PlanAnswer> PlanCapacity(const PlanQuestion& question, const BurstModel& model) {
  for (const double share : {question.trusted, question.untrusted}) {
    // Written so that what is no number fails, too.
    if (!(share >= 0 && share <= kMostShare)) {
      return InvalidArgument("a share of the mix has to lie between 0 and ",
                             static_cast<int64_t>(kMostShare));
    }
  }
  if (question.trusted + question.untrusted <= 0) {
    return InvalidArgument("the mix has no sandboxes: trusted and untrusted are both 0");
  }
  PlanAnswer answer;
  if (question.vm) answer.kernel_bytes = GuestKernelBytes(question.capacity_bytes);
  const int64_t usable = question.capacity_bytes - answer.kernel_bytes;
  answer.reserves = ResolveReserves(question.reserves, usable);
  answer.allocatable_bytes = Allocatable(usable, answer.reserves);

  const PlanQuestion::Overhead& runc = question.runc;
  const PlanQuestion::Overhead& gvisor = question.gvisor;
  struct Setup {
    std::string name;
    const PlanQuestion::Overhead& trusted;
    const PlanQuestion::Overhead& untrusted;
    bool allowed;
  };
  for (const Setup& setup :
       {Setup{"runc", runc, runc, question.untrusted <= 0}, Setup{"gvisor", gvisor, gvisor, true},
        Setup{"hybrid", runc, gvisor, true}}) {
    const auto kind = [&](const PlanQuestion::Overhead& overhead, int64_t bytes) {
      return Kind{.memory = ChargeOf(question, bytes),
                  .seen = &overhead == &runc ? question.runc_seen : question.gvisor_seen};
    };
    const auto fit = [&](int64_t trusted_bytes, int64_t untrusted_bytes) {
      return Fit(question, answer.allocatable_bytes, model, kind(setup.trusted, trusted_bytes),
                 kind(setup.untrusted, untrusted_bytes));
    };
    const int64_t all = fit(setup.trusted.learned_bytes, setup.untrusted.learned_bytes);
    PlanScenario scenario{.name = setup.name,
                          .trusted = TrustedOf(question, all),
                          .untrusted = all - TrustedOf(question, all),
                          .without_overhead = fit(0, 0),
                          .at_prior = fit(setup.trusted.prior_bytes, setup.untrusted.prior_bytes),
                          .allowed = setup.allowed};
    scenario.workload_bytes = SaturatingMul(RequestOf(ChargeOf(question, 0)), all);
    scenario.overhead_bytes =
        SaturatingAdd(SaturatingMul(setup.trusted.learned_bytes, scenario.trusted),
                      SaturatingMul(setup.untrusted.learned_bytes, scenario.untrusted));
    answer.scenarios.push_back(std::move(scenario));
  }
  return answer;
}

}  // namespace claw::budget
