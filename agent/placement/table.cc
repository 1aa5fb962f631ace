#include "agent/placement/table.h"

#include <algorithm>
#include <utility>

#include "agent/base/strings.h"

namespace claw::placement {
namespace {

template <typename Index>
void Forget(Index& index, const std::string& key, uint32_t slot) {
  const auto it = index.find(key);
  if (it == index.end()) return;
  it->second.erase(slot);
  if (it->second.empty()) index.erase(it);
}

// Below every score that there is: they are asked last.
constexpr double kTooFull = -1;
constexpr double kNoRuntime = -2;

}  // namespace

bool Table::IsWorse(const Rank& a, const Rank& b) {
  return a.score != b.score ? a.score < b.score : a.slot > b.slot;
}

uint32_t Table::PlatformOf(const std::shared_ptr<const Platform>& platform) {
  const auto it = std::find_if(platforms_.begin(), platforms_.end(), [&platform](const auto& one) {
    return one == platform || *one == *platform;
  });
  if (it != platforms_.end()) return static_cast<uint32_t>(it - platforms_.begin());
  platforms_.push_back(platform);
  return static_cast<uint32_t>(platforms_.size() - 1);
}

void Table::Put(Target target, const Settings& settings) {
  Drop(target.name);
  uint32_t slot = 0;
  if (free_.empty()) {
    slot = static_cast<uint32_t>(targets_.size());
    targets_.emplace_back();
    rows_.emplace_back();
  } else {
    slot = free_.back();
    free_.pop_back();
  }
  Row& row = rows_[slot];
  row.platform = PlatformOf(target.platform);
  target.platform = platforms_[row.platform];
  row.allocatable_bytes = target.allocatable_bytes;
  row.required_bytes = RequiredBytes(target, settings);
  row.emulated = target.platform->emulated;
  row.running = target.running;
  row.used = true;
  for (const auto& [tenant, share] : target.held.shares()) {
    by_tenant_[tenant][slot] = share.sandboxes;
  }
  for (const std::string& digest : target.images) by_image_[digest][slot] = true;
  slots_[target.name] = slot;
  targets_[slot] = std::move(target);
}

void Table::Drop(const std::string& name) {
  const auto it = slots_.find(name);
  if (it == slots_.end()) return;
  const uint32_t slot = it->second;
  slots_.erase(it);
  Target& target = targets_[slot];
  for (const auto& [tenant, share] : target.held.shares()) Forget(by_tenant_, tenant, slot);
  for (const std::string& digest : target.images) Forget(by_image_, digest, slot);
  target = {};
  rows_[slot] = {};
  free_.push_back(slot);
}

const Target* Table::Find(const std::string& name) const {
  const auto it = slots_.find(name);
  return it == slots_.end() ? nullptr : &targets_[it->second];
}

std::vector<Table::Rank> Table::RankAll(const Demand& demand, const Settings& settings,
                                        Examiner& examiner) const {
  std::vector<int64_t> charges;
  for (const auto& platform : platforms_) charges.push_back(examiner.ChargeOn(platform));
  std::vector<ScoreInput> inputs(rows_.size());
  if (const auto mine = by_tenant_.find(demand.tenant.name); mine != by_tenant_.end()) {
    for (const auto& [slot, count] : mine->second) inputs[slot].of_tenant = count;
  }
  for (const auto& [architecture, image] : demand.images) {
    const auto where = by_image_.find(image.digest);
    if (where == by_image_.end()) continue;
    for (const auto& [slot, is_there] : where->second) inputs[slot].has_image = true;
  }
  std::vector<Rank> ranks;
  ranks.reserve(slots_.size());
  for (uint32_t slot = 0; slot < rows_.size(); ++slot) {
    const Row& row = rows_[slot];
    if (!row.used) continue;
    const int64_t charge = charges[row.platform];
    ScoreInput& input = inputs[slot];
    input.allocatable_bytes = row.allocatable_bytes;
    input.residual_bytes =
        SaturatingSub(row.allocatable_bytes, SaturatingAdd(row.required_bytes, charge));
    input.emulated = row.emulated;
    input.running = row.running;
    double score = Rate(input, settings.weights).total;
    if (input.residual_bytes < 0) score = kTooFull;
    if (charge == 0) score = kNoRuntime;
    ranks.push_back({.score = score, .slot = slot});
  }
  return ranks;
}

StatusOr<Table::Choice> Table::Choose(const Demand& demand, const Settings& settings) const {
  Examiner examiner(demand, settings);
  std::vector<Rank> ranks = RankAll(demand, settings, examiner);
  const auto take = [&](const Rank& rank) -> StatusOr<Choice> {
    const Target& target = targets_[rank.slot];
    Choice choice{.target = &target};
    ASSIGN_OR_RETURN(choice.offer, examiner.Ask(target));
    const Share* share = target.held.Of(demand.tenant.name);
    choice.score = examiner.RateTarget(target, rows_[rank.slot].required_bytes,
                                       share == nullptr ? 0 : share->sandboxes);
    return choice;
  };
  // The best fits nearly always; only if it does not the others are put in order.
  const auto best = std::max_element(ranks.begin(), ranks.end(), IsWorse);
  if (best == ranks.end()) {
    return MakeError(StatusCode::kFailedPrecondition, "there is no target",
                     {.reason = "NO_TARGET", .constraint = "targets"});
  }
  if (examiner.Obstacle(targets_[best->slot]).empty()) return take(*best);
  std::make_heap(ranks.begin(), ranks.end(), IsWorse);
  for (auto end = ranks.end(); end != ranks.begin(); --end) {
    std::pop_heap(ranks.begin(), end, IsWorse);
    const Rank& rank = *(end - 1);
    if (examiner.Obstacle(targets_[rank.slot]).empty()) return take(rank);
  }
  return RefuseAll(examiner);
}

Status Table::RefuseAll(Examiner& examiner) const {
  struct Count {
    int64_t targets = 0;
    const Target* first = nullptr;
  };
  std::map<std::string_view, Count> counts;
  for (const auto& [name, slot] : slots_) {
    Count& count = counts[examiner.Obstacle(targets_[slot])];
    if (++count.targets == 1) count.first = &targets_[slot];
  }
  const auto commonest = std::max_element(
      counts.begin(), counts.end(),
      [](const auto& a, const auto& b) { return a.second.targets < b.second.targets; });
  const Status refusal = examiner.Ask(*commonest->second.first).status();
  if (slots_.size() == 1) return refusal;
  std::vector<std::string> parts;
  for (const auto& [name, count] : counts) parts.push_back(StrCat(name, " on ", count.targets));
  return Annotate(refusal, StrCat("none of ", slots_.size(), " targets takes it (in the way: ",
                                  Join(parts, ", "), "); ", commonest->second.first->name));
}

std::vector<Explanation> Table::Explain(const Demand& demand, const Settings& settings,
                                        size_t most) const {
  Examiner examiner(demand, settings);
  std::vector<Explanation> all;
  for (const auto& [name, slot] : slots_) all.push_back(examiner.Explain(targets_[slot]));
  std::stable_sort(all.begin(), all.end(), [](const Explanation& a, const Explanation& b) {
    return a.fits != b.fits ? a.fits : a.score.total > b.score.total;
  });
  if (most > 0 && all.size() > most) all.resize(most);
  return all;
}

}  // namespace claw::placement
