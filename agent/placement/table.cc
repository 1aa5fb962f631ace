#include "agent/placement/table.h"

#include <algorithm>
#include <utility>

#include "agent/placement/choose.h"

namespace claw::placement {
namespace {

// So many of the best are asked one after the other before all are.
constexpr size_t kAskedInOrder = 32;

}  // namespace

bool Table::IsWorse(const Rank& a, const Rank& b) {
  return a.score != b.score ? a.score < b.score : a.slot > b.slot;
}

void Table::SetCount(Index& index, const std::string& key, uint32_t slot, int64_t count) {
  std::vector<Entry>& entries = index[key];
  const auto at =
      std::lower_bound(entries.begin(), entries.end(), slot,
                       [](const Entry& entry, uint32_t wanted) { return entry.slot < wanted; });
  const bool is_there = at != entries.end() && at->slot == slot;
  if (count == 0) {
    if (is_there) entries.erase(at);
    if (entries.empty()) index.erase(key);
  } else if (is_there) {
    at->count = count;
  } else {
    entries.insert(at, {.slot = slot, .count = count});
  }
}

void Table::Reindex(uint32_t slot, const Target& before, const Target& after) {
  for (const auto& [tenant, share] : before.held.shares()) {
    if (after.held.Of(tenant) == nullptr) SetCount(by_tenant_, tenant, slot, 0);
  }
  for (const auto& [tenant, share] : after.held.shares()) {
    const Share* known = before.held.Of(tenant);
    if (known != nullptr && known->sandboxes == share.sandboxes) continue;
    SetCount(by_tenant_, tenant, slot, share.sandboxes);
  }
  for (const std::string& digest : before.images) {
    if (after.images.count(digest) == 0) SetCount(by_image_, digest, slot, 0);
  }
  for (const std::string& digest : after.images) {
    if (before.images.count(digest) == 0) SetCount(by_image_, digest, slot, 1);
  }
}

uint32_t Table::JoinPlatform(const std::shared_ptr<const Platform>& platform) {
  auto it = std::find_if(platforms_.begin(), platforms_.end(), [&](const SharedPlatform& one) {
    return one.platform == platform || (one.platform != nullptr && *one.platform == *platform);
  });
  if (it == platforms_.end()) {
    it = std::find_if(platforms_.begin(), platforms_.end(),
                      [](const SharedPlatform& one) { return one.platform == nullptr; });
    if (it == platforms_.end()) it = platforms_.emplace(it);
    it->platform = platform;
  }
  ++it->targets;
  return static_cast<uint32_t>(it - platforms_.begin());
}

void Table::LeavePlatform(uint32_t index) {
  if (--platforms_[index].targets == 0) platforms_[index] = {};
}

uint32_t Table::SlotOf(const std::string& name) {
  const auto [it, is_new] = slots_.try_emplace(name, static_cast<uint32_t>(targets_.size()));
  if (!is_new) return it->second;
  if (free_.empty()) {
    targets_.emplace_back();
    rows_.emplace_back();
  } else {
    it->second = free_.back();
    free_.pop_back();
  }
  return it->second;
}

void Table::Put(Target target, const Settings& settings) {
  const uint32_t slot = SlotOf(target.name);
  Row& row = rows_[slot];
  const uint32_t platform = JoinPlatform(target.platform);
  if (row.used) LeavePlatform(row.platform);
  target.platform = platforms_[platform].platform;
  row = {.allocatable_bytes = target.allocatable_bytes,
         .platform = platform,
         .emulated = target.platform->emulated,
         .running = target.running,
         .used = true};
  Reindex(slot, targets_[slot], target);
  targets_[slot] = std::move(target);
  Measure(slot, settings);
}

void Table::Measure(uint32_t slot, const Settings& settings) {
  const Target& target = targets_[slot];
  rows_[slot].required_bytes = RequiredBytes(target, settings);
  rows_[slot].charged_bytes = SaturatingAdd(target.held.charged_bytes(), target.other_bytes);
}

void Table::RecountTenant(uint32_t slot, const std::string& tenant) {
  const Share* share = targets_[slot].held.Of(tenant);
  SetCount(by_tenant_, tenant, slot, share == nullptr ? 0 : share->sandboxes);
}

void Table::PutSandbox(const std::string& name, const Sandbox& sandbox, const Settings& settings) {
  const auto it = slots_.find(name);
  if (it == slots_.end()) return;
  const std::string before = targets_[it->second].held.TenantOf(sandbox.id);
  targets_[it->second].held.Put(sandbox);
  if (before != sandbox.spec.tenant) RecountTenant(it->second, before);
  RecountTenant(it->second, sandbox.spec.tenant);
  Measure(it->second, settings);
}

void Table::DropSandbox(const std::string& name, const std::string& id, const Settings& settings) {
  const auto it = slots_.find(name);
  if (it == slots_.end()) return;
  const std::string tenant = targets_[it->second].held.TenantOf(id);
  targets_[it->second].held.Drop(id);
  RecountTenant(it->second, tenant);
  Measure(it->second, settings);
}

void Table::Drop(const std::string& name) {
  const auto it = slots_.find(name);
  if (it == slots_.end()) return;
  const uint32_t slot = it->second;
  slots_.erase(it);
  Reindex(slot, targets_[slot], {});
  LeavePlatform(rows_[slot].platform);
  targets_[slot] = {};
  rows_[slot] = {};
  free_.push_back(slot);
}

const Target* Table::Find(const std::string& name) const {
  const auto it = slots_.find(name);
  return it == slots_.end() ? nullptr : &targets_[it->second];
}

// What the indexes say of each slot.
std::vector<ScoreInput> Table::Inputs(const Demand& demand) const {
  std::vector<ScoreInput> inputs(rows_.size());
  if (const auto mine = by_tenant_.find(demand.tenant.name); mine != by_tenant_.end()) {
    for (const Entry& entry : mine->second) inputs[entry.slot].of_tenant = entry.count;
  }
  for (const auto& [architecture, image] : demand.images) {
    const auto where = by_image_.find(image.digest);
    if (where == by_image_.end()) continue;
    std::vector<char> is_for;  // by platform
    for (const SharedPlatform& one : platforms_) {
      is_for.push_back(one.platform != nullptr && one.platform->architecture == architecture);
    }
    for (const Entry& entry : where->second) {
      if (is_for[rows_[entry.slot].platform] != 0) inputs[entry.slot].has_image = true;
    }
  }
  return inputs;
}

Table::Ranking Table::RankAll(const Demand& demand, const Settings& settings,
                              Examiner& examiner) const {
  std::vector<Memory> memory;  // by platform
  for (const SharedPlatform& one : platforms_) {
    memory.push_back(one.platform == nullptr ? Memory{} : examiner.MemoryOn(one.platform));
  }
  std::vector<ScoreInput> inputs = Inputs(demand);
  Ranking ranking;
  ranking.likely.reserve(slots_.size());
  for (uint32_t slot = 0; slot < rows_.size(); ++slot) {
    const Row& row = rows_[slot];
    if (!row.used) continue;
    const Memory& next = memory[row.platform];
    const int64_t charge = ChargedBytes(next);
    const int64_t after = SaturatingAdd(row.required_bytes, charge);
    // What burstable ones want beyond their requests they share: there one more may take less than
    // its charge.
    const int64_t at_least = IsGuaranteed(next)
                                 ? after
                                 : std::max(SaturatingAdd(row.charged_bytes, charge),
                                            SaturatingAdd(row.required_bytes, next.overhead_bytes));
    if (charge == 0 || at_least > row.allocatable_bytes) {
      ranking.unlikely.push_back(slot);
      continue;
    }
    ScoreInput& input = inputs[slot];
    input.allocatable_bytes = row.allocatable_bytes;
    input.residual_bytes = SaturatingSub(row.allocatable_bytes, after);
    input.emulated = row.emulated;
    input.running = row.running;
    ranking.likely.push_back({.score = Rate(input, settings.weights).total, .slot = slot});
  }
  return ranking;
}

StatusOr<Table::Choice> Table::Take(uint32_t slot, const Demand& demand, Examiner& examiner) const {
  const Target& target = targets_[slot];
  Choice choice{.target = &target};
  ASSIGN_OR_RETURN(choice.offer, examiner.Ask(target));
  const Share* share = target.held.Of(demand.tenant.name);
  choice.score = examiner.RateTarget(target, rows_[slot].required_bytes,
                                     share == nullptr ? 0 : share->sandboxes);
  return choice;
}

StatusOr<Table::Choice> Table::Choose(const Demand& demand, const Settings& settings) const {
  if (slots_.empty()) {
    return MakeError(StatusCode::kFailedPrecondition, "there is no target",
                     {.reason = "NO_TARGET", .constraint = "targets"});
  }
  Examiner examiner(demand, settings);
  Tally tally;
  const auto fits = [&](uint32_t slot) {
    const std::string_view obstacle = examiner.Obstacle(targets_[slot]);
    if (!obstacle.empty()) tally.Add(obstacle, targets_[slot]);
    return obstacle.empty();
  };
  const auto [likely, unlikely] = RankAll(demand, settings, examiner);
  // One of the best fits nearly always.
  std::vector<Rank> top(std::min(kAskedInOrder, likely.size()));
  std::partial_sort_copy(likely.begin(), likely.end(), top.begin(), top.end(),
                         [](const Rank& a, const Rank& b) { return IsWorse(b, a); });
  for (const Rank& rank : top) {
    if (fits(rank.slot)) return Take(rank.slot, demand, examiner);
  }
  // Then the others as they lie in memory, which is quicker than in order.
  const Rank* best = nullptr;
  for (const Rank& rank : likely) {
    if (!IsWorse(rank, top.back()) || (best != nullptr && IsWorse(rank, *best))) continue;
    if (fits(rank.slot)) best = &rank;
  }
  if (best != nullptr) return Take(best->slot, demand, examiner);
  for (const uint32_t slot : unlikely) {
    if (fits(slot)) return Take(slot, demand, examiner);
  }
  return tally.ToRefusal(examiner);
}

std::vector<Explanation> Table::Explain(const Demand& demand, const Settings& settings,
                                        size_t most) const {
  Examiner examiner(demand, settings);
  std::vector<Explanation> all;
  for (const auto& [name, slot] : slots_) all.push_back(examiner.Explain(targets_[slot]));
  SortByPreference(all);
  if (most > 0 && all.size() > most) all.resize(most);
  return all;
}

}  // namespace claw::placement
