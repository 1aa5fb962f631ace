#include <algorithm>
#include <cmath>

#include "agent/base/strings.h"
#include "agent/budget/evict.h"
#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/node.h"

namespace claw::lifecycle {
namespace {

// Of killing who has to go and does not.
constexpr int kMoreTries = 3;
constexpr auto kBeforeNextTry = std::chrono::seconds(5);
// A tenant that thrashes on and off must not fill the log of events.
constexpr auto kTellAgain = std::chrono::minutes(10);

std::string Describe(const budget::Dial& dial) {
  std::string text =
      StrCat("some program waits for memory ", std::lround(dial.stall() * 100), "% of the time");
  if (dial.is_short()) text += ", and there is none left";
  if (dial.explained()) text += ", but it is sandboxes at their own limits";
  return text;
}

std::string EventType(PressureBand band) {
  switch (band) {
    case PressureBand::kCalm:
      return "node.pressure_gone";
    case PressureBand::kShrink:
      return "node.pressure_shrink";
    case PressureBand::kRefuse:
      return "node.pressure_refuse";
    case PressureBand::kEvict:
      return "node.pressure_evict";
  }
  return "node.pressure";
}

std::string_view Meaning(PressureBand band) {
  switch (band) {
    case PressureBand::kCalm:
      return "starts are taken again";
    case PressureBand::kShrink:
      return "caches are given back, starts are taken";
    case PressureBand::kRefuse:
      return "nothing is started until it has gone";
    case PressureBand::kEvict:
      return "what uses more than was set aside for it has to go";
  }
  return "";
}

}  // namespace

Task<void> Node::LookAtPressure() {
  if (!deps_.read_pressure || draining_) co_return;
  // Whoever comes while another looks takes what that one finds.
  const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(pressure_.mutex);
  const auto now = std::chrono::steady_clock::now();
  if (now - pressure_.looked < config_.shortest_look) co_return;
  const bool is_first = pressure_.looked == std::chrono::steady_clock::time_point();
  pressure_.looked = now;
  auto read = deps_.read_pressure;
  const StatusOr<MemoryPressure> found = co_await deps_.pool.Run(std::move(read));
  if (!found.ok()) {
    const bool is_new = pressure_.problem.empty();
    pressure_.problem = ToStd(found.status().message());
    std::string text = StrCat("the node is not dialled back: ", pressure_.problem);
    if (is_new) co_await Report("node.pressure_unknown", "node", std::move(text));
    co_return;
  }
  pressure_.problem.clear();
  const int64_t total = found->total_bytes;
  if (config_.capacity_follows && total > 0 && total != config_.capacity_bytes) {
    // Nobody has to go for that: what no longer fits is not taken.
    config_.capacity_bytes = total;
    memory_limit_ = Unavailable("the memory of this guest has just been changed");
    co_await LimitMemory();
  }
  // What was before this agent is not news.
  if (!is_first && found->group_ooms > pressure_.group_ooms) pressure_.ran_out = true;
  pressure_.group_ooms = found->group_ooms;
  budget::PressureLook look{.pressure = *found};
  if (dial_.NeedsCulprits(*found)) {
    const StatusOr<int64_t> culprits = co_await CountAtOwnLimit();
    look.at_own_limit = culprits.value_or(0);
  }
  look.running = CountActive().sandboxes;
  const PressureBand before = dial_.band();
  const std::optional<int64_t> limit = dial_.limit();
  const bool explained = dial_.explained();
  dial_.Look(look);
  if (dial_.explained() && !explained &&
      (!pressure_.explained_told || now - *pressure_.explained_told > kTellAgain)) {
    pressure_.explained_told = now;
    co_await Report("node.pressure_explained", "node", Describe(dial_));
  }
  if (dial_.limit() && (!limit || *dial_.limit() < *limit)) {
    std::string text = StrCat("at most ", *dial_.limit(), " sandboxes may run for now, ",
                              look.running, " do: ", Describe(dial_));
    co_await Report("node.dialled_back", "node", std::move(text));
  }
  if (limit && !dial_.limit()) {
    co_await Report("node.dial_released", "node", "pressure no longer limits how many may run");
  }
  co_await ActOnPressure(before);
}

Task<void> Node::ActOnPressure(PressureBand before) {
  const PressureBand band = dial_.band();
  if (band != before) {
    pressure_.nobody_to_evict = false;
    std::string text = StrCat(ToString(before), " -> ", ToString(band), ": ", Describe(dial_), "; ",
                              Meaning(band));
    co_await Report(EventType(band), "node", std::move(text));
  }
  // A band outlasts what led to it. Who has to go goes only for what is seen now.
  const bool must_go =
      band == PressureBand::kEvict && dial_.is_short() && dial_.stall() >= dial_.rules().evict_at;
  if (must_go) co_await Evict();
  if (band > before && band != PressureBand::kEvict && deps_.shrink_caches) {
    auto shrink = [work = deps_.shrink_caches]() -> StatusOr<std::string> { return work(); };
    StatusOr<std::string> done = co_await deps_.pool.Run(std::move(shrink));
    if (done.ok() && !done->empty()) {
      co_await Report("node.caches_shrunk", "node", *std::move(done));
    }
  }
  if (!dial_.settled() && !pressure_.watching) {
    pressure_.watching = true;
    asio::co_spawn(deps_.strand, WatchPressure(), asio::detached);
  }
}

Task<void> Node::WatchPressure() {
  while (!draining_ && !dial_.settled()) {
    co_await Sleep(config_.pressure_interval);
    co_await LookAtPressure();
  }
  pressure_.watching = false;
}

// Since the last measurement, some seconds ago.
Task<StatusOr<int64_t>> Node::CountAtOwnLimit() {
  std::string all;
  CO_ASSIGN_OR_RETURN(const auto stats, co_await GetStats(std::move(all), true));
  int64_t count = 0;
  for (const SandboxStats& one : stats) {
    const auto it = sandboxes_.find(one.id);
    if (it == sandboxes_.end()) continue;
    const std::optional<int64_t>& before = it->second->limit_hits;
    if (before && one.stats.limit_hits > *before) ++count;
  }
  co_return count;
}

Task<void> Node::Evict() {
  // One at a time: what it gives back may be enough.
  for (const auto& [id, entry] : sandboxes_) {
    if (entry->evicted && !IsTerminal(entry->record.state)) co_return;
  }
  std::string all;
  const auto stats = co_await GetStats(std::move(all), true);
  if (!stats.ok()) co_return;
  std::vector<budget::EvictionCandidate> candidates;
  for (const SandboxStats& one : *stats) {
    const auto it = sandboxes_.find(one.id);
    if (it == sandboxes_.end() || it->second->record.state != SandboxState::kRunning) continue;
    const Sandbox& record = it->second->record;
    candidates.push_back({.id = one.id,
                          .guaranteed = IsGuaranteed(record.resources.memory),
                          .used_bytes = one.stats.application_bytes,
                          .request_bytes = RequestOf(record.resources.memory),
                          .priority = record.spec.priority,
                          .started_at = record.started_at});
  }
  const std::optional<budget::EvictionCandidate> victim = budget::ChooseVictim(candidates);
  if (!victim) {
    if (pressure_.nobody_to_evict) co_return;
    pressure_.nobody_to_evict = true;
    co_await Report("node.nobody_to_evict", "node",
                    "every sandbox that runs is guaranteed and within its request");
    co_return;
  }
  const std::shared_ptr<Entry> entry = Find(victim->id);
  if (entry == nullptr || entry->record.state != SandboxState::kRunning) co_return;
  entry->evicted = true;
  pressure_.ran_out = true;
  std::string why = StrCat(
      "the node is short of memory (", Describe(dial_), "): of ", candidates.size(),
      " sandboxes this one goes first: it uses ", FormatBytes(victim->used_bytes), ", ",
      FormatBytes(victim->request_bytes), " were set aside for it, priority ", victim->priority);
  asio::co_spawn(deps_.strand, Evict(entry, std::move(why)), asio::detached);
}

Task<void> Node::Evict(std::shared_ptr<Entry> entry, std::string why) {
  std::vector<Event> events;
  events.push_back(MakeEvent("sandbox.evicting", StrCat("sandboxes/", entry->record.id),
                             entry->record.spec.tenant, std::move(why)));
  auto nothing = [](store::Transaction&) { return absl::OkStatus(); };
  // It has to go even if nobody can be told.
  (co_await Commit(std::move(nothing), std::move(events))).IgnoreError();
  std::string actor = "agent";
  Status ended = co_await EndProgram(entry, config_.eviction_grace, actor);
  for (int i = 0; i < kMoreTries && !ended.ok() && !draining_; ++i) {
    co_await Sleep(kBeforeNextTry);
    const auto at_once = std::chrono::milliseconds(0);
    ended = co_await EndProgram(entry, at_once, actor);
  }
  // It will not go: others have to.
  if (!ended.ok()) entry->evicted = false;
}

}  // namespace claw::lifecycle
