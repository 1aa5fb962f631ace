#include "agent/budget/overhead.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "agent/base/bytes.h"

namespace claw::budget {
namespace {

constexpr double kGrowth = 1.05;  // of one bucket over the one before
constexpr int kLastBucket = 285;  // its bound is just above 1 TiB; larger peaks count as that
// How far what strangers cost can raise the prior.
constexpr double kMostOfStrangers = 2;
// A weight that has faded to less says nothing.
constexpr double kNegligible = 1e-6;

int BucketOf(int64_t bytes) {
  if (bytes <= kMiB) return 0;
  const double steps = std::log(static_cast<double>(bytes) / kMiB) / std::log(kGrowth);
  int bucket = std::clamp(static_cast<int>(std::ceil(steps)), 0, kLastBucket);
  // Rounding must not put a peak above the bound of its bucket.
  while (bucket < kLastBucket && OverheadBucketBytes(bucket) < bytes) ++bucket;
  return bucket;
}

double Seconds(Time from, Time to) { return std::chrono::duration<double>(to - from).count(); }

// What is left of 1 after the time; 1 if it did not pass.
double Fade(Time from, Time to, std::chrono::seconds half_life) {
  const double passed = std::max(0.0, Seconds(from, to));
  return std::exp2(-passed / std::max(1.0, static_cast<double>(half_life.count())));
}

UsageMoments Faded(const UsageMoments& usage, double fade) {
  return {.weight = usage.weight * fade,
          .mean_sum = usage.mean_sum * fade,
          .square_sum = usage.square_sum * fade};
}

// Rounds up, and stays within int64_t.
int64_t ToBytes(double bytes) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  // The largest double below 2^63 is 1024 less than it.
  return bytes >= static_cast<double>(kMax - 1024) ? kMax : static_cast<int64_t>(std::ceil(bytes));
}

int64_t Scale(int64_t bytes, double factor) { return ToBytes(static_cast<double>(bytes) * factor); }

double WeightOf(const OverheadRecord& record) {
  double sum = 0;
  for (const auto& [bucket, weight] : record.buckets) sum += weight;
  return sum;
}

int64_t QuantileOf(const OverheadRecord& record, double quantile) {
  const double total = WeightOf(record);
  if (total <= 0) return 0;
  double sum = 0;
  for (const auto& [bucket, weight] : record.buckets) {
    sum += weight;
    // A little less, since the sum of all need not be the sum to the last digit.
    if (sum >= total * quantile * (1 - 1e-9)) return OverheadBucketBytes(bucket);
  }
  return OverheadBucketBytes(record.buckets.rbegin()->first);
}

// The class as records of this level name it.
SandboxClass At(OverheadLevel level, SandboxClass sandboxes) {
  if (level != OverheadLevel::kImage) sandboxes.image_digest.clear();
  if (level == OverheadLevel::kRuntime) sandboxes.image_family.clear();
  return sandboxes;
}

}  // namespace

int64_t OverheadBucketBytes(int bucket) {
  return static_cast<int64_t>(
      std::ceil(static_cast<double>(kMiB) * std::pow(kGrowth, std::clamp(bucket, 0, kLastBucket))));
}

void OverheadModel::Load(std::vector<OverheadRecord> records) {
  for (OverheadRecord& record : records) {
    const std::string key = OverheadKey(record);
    records_[key] = std::move(record);
  }
  DropOldest();
}

void OverheadModel::Add(const SandboxClass& sandboxes, int64_t peak_bytes, Time now,
                        const UsageMoments& program) {
  OverheadRecord& image = AddTo(OverheadLevel::kImage, sandboxes, peak_bytes, now);
  image.usage.weight += program.weight;
  image.usage.mean_sum += program.mean_sum;
  image.usage.square_sum += program.square_sum;
  if (!sandboxes.image_family.empty()) {
    AddTo(OverheadLevel::kFamily, sandboxes, peak_bytes, now);
  }
  AddTo(OverheadLevel::kRuntime, sandboxes, peak_bytes, now);
  DropOldest();
}

OverheadRecord& OverheadModel::AddTo(OverheadLevel level, const SandboxClass& sandboxes,
                                     int64_t peak_bytes, Time now) {
  const std::string key = OverheadKey(level, sandboxes);
  // What is beyond the last bucket counts as that, where doubles still hold every byte.
  const int64_t peak = std::clamp<int64_t>(peak_bytes, 0, OverheadBucketBytes(kLastBucket));
  OverheadRecord& record = records_[key];
  changed_[key] = true;
  if (record.windows == 0) {
    record.level = level;
    record.sandboxes = At(level, sandboxes);
    record.first_at = now;
    record.weighed_at = now;
  }
  const Time at = std::max(now, record.last_at);
  const double fade = Fade(record.weighed_at, at, rules_.half_life);
  for (auto& [bucket, weight] : record.buckets) weight *= fade;
  record.usage = Faded(record.usage, fade);
  std::erase_if(record.buckets, [](const auto& entry) { return entry.second < kNegligible; });
  record.buckets[BucketOf(peak)] += 1;
  record.weighed_at = std::max(at, record.weighed_at);
  const double left = Fade(record.recent.at, at, rules_.recent_half_life);
  if (peak >= Scale(record.recent.bytes, left)) record.recent = {.bytes = peak, .at = at};
  record.samples.push_back({.bytes = peak, .at = at});
  if (record.samples.size() > rules_.samples_kept) {
    record.samples.erase(record.samples.begin(),
                         record.samples.end() - static_cast<ptrdiff_t>(rules_.samples_kept));
  }
  if (record.windows < std::numeric_limits<int64_t>::max()) ++record.windows;
  record.last_at = at;
  return record;
}

UsageMoments OverheadModel::Usage(const SandboxClass& sandboxes, Time now) const {
  const auto it = records_.find(OverheadKey(OverheadLevel::kImage, sandboxes));
  if (it == records_.end()) return {};
  return Faded(it->second.usage, Fade(it->second.weighed_at, now, rules_.half_life));
}

void OverheadModel::DropOldest() {
  while (records_.size() > rules_.max_records) {
    const auto oldest = std::min_element(
        records_.begin(), records_.end(),
        [](const auto& a, const auto& b) { return a.second.last_at < b.second.last_at; });
    changed_[oldest->first] = false;
    records_.erase(oldest);
  }
}

OverheadEstimate OverheadModel::Estimate(const SandboxClass& sandboxes, int64_t prior_bytes,
                                         Time now) const {
  OverheadEstimate estimate;
  estimate.prior_bytes = std::max<int64_t>(0, prior_bytes);
  estimate.bytes = estimate.prior_bytes;
  Refine(OverheadLevel::kRuntime, sandboxes, now, estimate);
  if (!sandboxes.image_family.empty()) {
    Refine(OverheadLevel::kFamily, sandboxes, now, estimate);
  }
  Refine(OverheadLevel::kImage, sandboxes, now, estimate);
  estimate.bytes = std::max(estimate.bytes, Scale(estimate.prior_bytes, rules_.floor_of_prior));
  return estimate;
}

void OverheadModel::Refine(OverheadLevel level, const SandboxClass& sandboxes, Time now,
                           OverheadEstimate& estimate) const {
  const auto it = records_.find(OverheadKey(level, sandboxes));
  if (it == records_.end()) return;
  const OverheadRecord& record = it->second;
  OverheadStep step;
  step.level = level;
  step.key = it->first;
  step.windows = record.windows;
  step.weight = WeightOf(record) * Fade(record.weighed_at, now, rules_.half_life);
  step.trust = step.weight / (step.weight + std::max(rules_.full_trust, kNegligible));
  step.quantile_bytes = QuantileOf(record, rules_.quantile);
  step.recent_bytes =
      Scale(record.recent.bytes, Fade(record.recent.at, now, rules_.recent_half_life));
  if (level == OverheadLevel::kRuntime) {
    // Strangers' peaks must not make others' images dear without end.
    step.trust = 0;
    step.recent_bytes = 0;
    step.quantile_bytes =
        std::min(step.quantile_bytes, Scale(estimate.prior_bytes, kMostOfStrangers));
  }
  step.borrowed_bytes = estimate.bytes;
  const int64_t own = Scale(std::max(step.quantile_bytes, step.recent_bytes), 1 + rules_.margin);
  // The formula of the header, written so that rounding keeps it monotone.
  const auto dearer = static_cast<double>(std::max(own, estimate.bytes));
  const double blended = step.trust * static_cast<double>(own) + (1 - step.trust) * dearer;
  step.estimate_bytes = std::max(own, ToBytes(blended));
  estimate.bytes = step.estimate_bytes;
  estimate.steps.push_back(std::move(step));
}

OverheadModel::Changes OverheadModel::TakeChanges() {
  Changes changes;
  for (const auto& [key, is_there] : changed_) {
    if (is_there) {
      changes.put.push_back(records_.at(key));
    } else {
      changes.removed.push_back(key);
    }
  }
  changed_.clear();
  return changes;
}

void OverheadModel::PutBack(const Changes& changes) {
  const auto again = [this](const std::string& key) {
    changed_.try_emplace(key, records_.count(key) > 0);
  };
  for (const OverheadRecord& record : changes.put) again(OverheadKey(record));
  for (const std::string& key : changes.removed) again(key);
}

}  // namespace claw::budget
