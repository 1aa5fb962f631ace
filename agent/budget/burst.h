#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/status.h"
#include "agent/model/overhead.h"

// How much memory burstable sandboxes need together, so that the chance of their wanting more is at
// most epsilon. Pure.
//
// A burstable sandbox of request r and workload (limit) w is taken as a random demand on [0, w]
// with mean m and variance v:
//
//   m = c m_seen + (1 - c) max(r, m_seen)     v = c v_seen + (1 - c) m (w - m)
//
// where c = weight / (weight + full_trust) grows with the windows in which sandboxes of its class
// were measured, and m (w - m) is the largest variance that a demand on [0, w] with mean m can have
// (Bhatia and Davis, "A better bound on the variance", American Mathematical Monthly 107, 2000). A
// class that nobody has seen is charged as if it could do its worst.
//
// Before anybody has watched them, they need what a bound for sums of independent variables says.
// With L = ln(1 / epsilon), B the largest w - m, and V the variance of the sum:
//
//   bound = sum m + t      where  V / B^2 x h(B t / V) = L   and   h(u) = (1 + u) ln(1 + u) - u
//
// is Bennett's inequality (JASA 57, 1962), of which Bernstein's is the weaker and handier form,
// solved for the level that the sum passes with probability epsilon. It wants independent demands,
// and those of one image are not: they do the same thing at the same time. So V takes a correlation
// rho between sandboxes of one image, V = sum over images of (1 - rho) sum v + rho (sum sqrt v)^2.
// On top comes what can grow before anybody can react:
//
//   bursts = rate x reaction x concurrent bursts
//
// (agents burst at up to 3 GB/s for one to two seconds, arXiv 2602.09345).
//
// Once they have been watched, what was seen takes its place. With N = sqrt(2 L), and a, s and p
// the mean, the deviation and the peak of (what all burstable sandboxes used) / (sum of their m)
// over the recent looks:
//
//   seen  = max(sum m + N sqrt(sum v),  sum m (a + N s) + doubt,  sum m p + doubt)
//   doubt = N sqrt(sum (1 - c) m (w - m))
//   need  = seen + (1 - C) max(0, bound + bursts - seen)
//
// The second is the N-sigma predictor of Bashir et al., "Take it to the limit: peak
// prediction-driven resource overcommitment in datacenters" (EuroSys 2021), who found the larger of
// two predictors to do best. The third is for storms, which are rare and high where N sigma thinks
// of a bell: after each look p loses the share epsilon of its height above a. The first keeps the
// others honest when few were watched. C = looks / (looks + trust_looks) x min(1, watched / sum m)
// is how far what was seen is trusted; `watched` is sum m over the last looks, so that a few
// sandboxes say little of many. The bound alone would leave three quarters of a node unused
// (tests/bench/budget_sim).
//
// The whole is never more than the sum of the limits, and never less than the sum of the requests.
//
// Epsilon itself is moved by what happens (adaptive conformal inference, Gibbs and Candes, NeurIPS
// 2021): after each look epsilon += gamma (target - missed), where a miss is a look at which the
// burstable sandboxes used more than was asked for them, or before which the node ran out.

namespace claw::budget {

struct BurstRules {
  double epsilon = 1e-3;  // chance of wanting more than there is; over 0, below 1
  double full_trust = 8;  // windows that count as much as what was assumed
  // rho, which matters until C has grown. Measured by tools/bench budget-sim on its shapes "agents"
  // and "storms": 0.1 instead holds 1% more and doubles the misses.
  double correlation = 0.3;
  int64_t burst_bytes_per_second = 3'000'000'000;  // arXiv 2602.09345
  std::chrono::milliseconds reaction{50};          // from growth to the kernel's reclaim
  double burst_share = 0.1;  // of the sandboxes, at least one: those that burst at once
  double gamma = 0.02;       // how far one miss moves epsilon
  // Epsilon stays between target / this and target x this.
  double epsilon_range = 10;
  double recent_looks = 720;  // those over which a and s are taken: an hour of looks every 5 s
  // So many looks count as much as the bound: five minutes. Measured as above: with 20 or 30 the
  // upper end of the misses' interval passes a third of epsilon, 100 and 1000 hold less.
  double trust_looks = 60;
};

// One burstable sandbox, or several that are alike.
struct BurstDemand {
  std::string group{};  // its image: those of one group move together
  int64_t request_bytes = 0;
  int64_t limit_bytes = 0;
  UsageMoments seen{};  // of its class
  int64_t count = 1;
};

struct BurstNeed {
  int64_t sandboxes = 0;
  int64_t requests_bytes = 0;  // sum of the requests: never less
  int64_t limits_bytes = 0;    // sum of the limits: never more
  int64_t mean_bytes = 0;      // sum m
  int64_t bound_bytes = 0;     // of those nobody has watched
  int64_t seen_bytes = 0;      // `seen`; 0: there was no look
  int64_t bursts_bytes = 0;
  int64_t bytes = 0;  // what admission keeps for them
};

// What was seen of all burstable sandboxes together. Value type.
class BurstModel {
 public:
  explicit BurstModel(BurstRules rules = {}) : rules_(rules), epsilon_(rules.epsilon) {}

  const BurstRules& rules() const { return rules_; }
  double epsilon() const { return epsilon_; }
  int64_t looks() const { return looks_; }
  int64_t misses() const { return misses_; }

  // What they need together; 0 for none. One more sandbox never makes it less, nor does a higher
  // limit of one that is there.
  BurstNeed Need(const std::vector<BurstDemand>& demands) const;

  // What they used together at one look. `ran_out`: since the look before, one was killed for want
  // of the node's memory. Such a miss cannot be seen in `used_bytes`, which never passes what there
  // is.
  void Observe(const std::vector<BurstDemand>& demands, int64_t used_bytes, bool ran_out = false);

 private:
  struct Sums;
  Sums SumUp(const std::vector<BurstDemand>& demands) const;
  double Seen(const Sums& sums, double log) const;

  BurstRules rules_;
  double epsilon_;
  // Of used / mean, with exponentially fading weights.
  double weight_ = 0;
  double ratio_mean_ = 0;
  double ratio_square_ = 0;
  double ratio_peak_ = 0;
  double watched_ = 0;  // bytes
  int64_t looks_ = 0;
  int64_t misses_ = 0;
};

}  // namespace claw::budget
