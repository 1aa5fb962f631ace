#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "agent/model/overhead.h"

// What a runtime costs beside its workload, learned from what was measured. Pure: the caller brings
// the samples and the time.
//
// Each class of sandboxes, and each of its parents (the images of the same family, all images under
// the same runtime), keeps the peaks of its windows in a histogram whose weights halve every
// half_life, in buckets that grow by 5% from 1 MiB: the shape of Kubernetes' vertical pod
// autoscaler. The estimate of a level is
//
//   own      = (1 + margin) x max(quantile of the weights, recent peak)
//   estimate = own + (1 - c) x max(0, borrowed - own)         c = weight / (weight + full_trust)
//
// where the recent peak fades on its own, and `borrowed` is the estimate of the next wider level.
// It rises at once with a higher peak and falls as fast as trust grows and old peaks fade. The
// runtime's level only ever adds to the prior: that strangers are cheap says nothing about an image
// that nobody has seen. It adds by its quantile alone, and no more than doubles the prior: one
// tenant's peaks must not shut the others out.

namespace claw::budget {

struct OverheadRules {
  double quantile = 0.95;  // of window peaks; over 0, at most 1
  // Kubernetes takes 24 h; agents are redeployed less often than they follow the day, so two days
  // as Autopilot (EuroSys 2020) has it.
  std::chrono::seconds half_life = std::chrono::hours(48);
  // How fast a single peak is forgotten where the quantile does not keep it.
  std::chrono::seconds recent_half_life = std::chrono::hours(6);
  // So many windows of its own count as much as what is borrowed.
  double full_trust = 8;
  // On top of every estimate: peaks between two looks at a sandbox are not seen.
  double margin = 0.10;
  // No estimate is below this share of the prior, for what a start takes before the first look.
  double floor_of_prior = 0.25;
  size_t max_records = 4096;  // of all levels; those not seen for longest are dropped
  size_t samples_kept = 32;   // of each record, to be shown
};

// One level of an estimate, as it came to its figure.
struct OverheadStep {
  OverheadLevel level = OverheadLevel::kImage;
  std::string key{};
  int64_t windows = 0;  // ever
  double weight = 0;    // of those that have not faded
  double trust = 0;     // c, 0 to 1
  int64_t quantile_bytes = 0;
  int64_t recent_bytes = 0;
  int64_t borrowed_bytes = 0;
  int64_t estimate_bytes = 0;
};

struct OverheadEstimate {
  int64_t bytes = 0;  // what a sandbox of the class is to be charged beside its workload
  int64_t prior_bytes = 0;
  std::vector<OverheadStep> steps{};  // from the widest level that has a record to the narrowest
};

// The peaks of all classes. Value type.
class OverheadModel {
 public:
  explicit OverheadModel(OverheadRules rules = {}) : rules_(rules) {}

  const OverheadRules& rules() const { return rules_; }

  // Takes what was recorded earlier.
  void Load(std::vector<OverheadRecord> records);

  // The peak of one sandbox in one window; negative counts as 0. A time before that of an earlier
  // peak (the clock was set back) counts as that one. `program` is what its program used in the
  // window, on average and on average squared, with weight 1.
  void Add(const SandboxClass& sandboxes, int64_t peak_bytes, Time now,
           const UsageMoments& program = {});
  // What programs of this very class used; weight 0: nothing is known.
  UsageMoments Usage(const SandboxClass& sandboxes, Time now) const;

  // What a sandbox of this class would be charged; `prior_bytes` is the driver's guess. Never
  // negative, monotone in the prior, and not lowered by a higher peak.
  OverheadEstimate Estimate(const SandboxClass& sandboxes, int64_t prior_bytes, Time now) const;

  // By key.
  const std::map<std::string, OverheadRecord>& records() const { return records_; }

  // What has changed since the last call: to be written, and to be removed.
  struct Changes {
    std::vector<OverheadRecord> put{};
    std::vector<std::string> removed{};  // keys
  };
  Changes TakeChanges();
  // They could not be written: they count as changed again.
  void PutBack(const Changes& changes);

 private:
  OverheadRecord& AddTo(OverheadLevel level, const SandboxClass& sandboxes, int64_t peak_bytes,
                        Time now);
  void DropOldest();
  // `estimate`'s bytes are what is borrowed, and become this level's.
  void Refine(OverheadLevel level, const SandboxClass& sandboxes, Time now,
              OverheadEstimate& estimate) const;

  OverheadRules rules_;
  std::map<std::string, OverheadRecord> records_;
  std::map<std::string, bool> changed_;  // key -> it is still there
};

// Upper bound of a bucket in bytes.
int64_t OverheadBucketBytes(int bucket);

}  // namespace claw::budget
