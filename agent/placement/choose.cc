#include "agent/placement/choose.h"

#include <algorithm>
#include <string>

#include "agent/base/strings.h"

namespace claw::placement {

void Tally::Add(std::string_view obstacle, const Target& target) {
  ++all_;
  Count& count = counts_[obstacle];
  if (++count.targets == 1) count.first = &target;
}

Status Tally::ToRefusal(Examiner& examiner) const {
  const auto commonest = std::max_element(
      counts_.begin(), counts_.end(),
      [](const auto& a, const auto& b) { return a.second.targets < b.second.targets; });
  return ToRefusal(examiner, *commonest->second.first);
}

Status Tally::ToRefusal(Examiner& examiner, const Target& target) const {
  const Status refusal = examiner.Ask(target).status();
  if (all_ == 1) return refusal;
  std::vector<std::string> parts;
  for (const auto& [name, count] : counts_) parts.push_back(StrCat(name, " on ", count.targets));
  return Annotate(refusal, StrCat("none of ", all_, " targets takes it (in the way: ",
                                  Join(parts, ", "), "); ", target.name));
}

namespace {

// How many constraints are met before the first that is not.
size_t MetBefore(const Explanation& explanation) {
  const auto& all = explanation.constraints;
  const auto unmet = std::find_if(all.begin(), all.end(), [](const auto& one) { return !one.met; });
  return static_cast<size_t>(unmet - all.begin());
}

}  // namespace

StatusOr<Choice> Choose(const std::vector<const Target*>& targets, const Demand& demand,
                        const Settings& settings) {
  if (targets.empty()) {
    return MakeError(StatusCode::kFailedPrecondition, "there is no target",
                     {.reason = "NO_TARGET", .constraint = "targets"});
  }
  Examiner examiner(demand, settings);
  Tally tally;
  const Target* best = nullptr;
  double best_score = 0;
  for (const Target* target : targets) {
    const std::string_view obstacle = examiner.Obstacle(*target);
    if (!obstacle.empty()) {
      tally.Add(obstacle, *target);
      continue;
    }
    const Share* share = target->held.Of(demand.tenant.name);
    const Score score = examiner.RateTarget(*target, RequiredBytes(*target, settings),
                                            share == nullptr ? 0 : share->sandboxes);
    if (best != nullptr && score.total <= best_score) continue;
    best = target;
    best_score = score.total;
  }
  if (best == nullptr) {
    const Target* nearest = targets.front();
    size_t furthest = 0;
    for (const Target* target : targets) {
      const size_t met = MetBefore(examiner.Explain(*target));
      if (met <= furthest) continue;
      nearest = target;
      furthest = met;
    }
    return tally.ToRefusal(examiner, *nearest);
  }
  ASSIGN_OR_RETURN(Offer offer, examiner.Ask(*best));
  return Choice{.target = best, .offer = std::move(offer)};
}

void SortByPreference(std::vector<Explanation>& explanations) {
  std::stable_sort(explanations.begin(), explanations.end(),
                   [](const Explanation& a, const Explanation& b) {
                     return a.fits != b.fits ? a.fits : a.score.total > b.score.total;
                   });
}

}  // namespace claw::placement
