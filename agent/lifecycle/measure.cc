#include <algorithm>

#include "agent/base/strings.h"
#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/node.h"
#include "agent/lifecycle/plan.h"

namespace claw::lifecycle {
namespace {

// What a crash may cost of what has been learned.
constexpr auto kSaveEvery = std::chrono::seconds(60);
// Looking takes at most one part in so many of one core, however many sandboxes there are: then it
// is looked less often.
constexpr int kMostOfACore = 100;
constexpr std::chrono::milliseconds kLongestPause = std::chrono::seconds(60);

}  // namespace

void Node::StartMeasuring() {
  if (measuring_) return;
  measuring_ = true;
  asio::co_spawn(deps_.strand, MeasureWhileAnyRuns(), asio::detached);
}

Task<void> Node::MeasureWhileAnyRuns() {
  auto saved_at = std::chrono::steady_clock::now();
  // What is in VMs, their guests measure.
  const auto runs = [](const auto& entry) {
    return IsRunning(entry.second->record.state) && VmOf(entry.second->record).empty();
  };
  // Whoever starts a sandbox after the last one has ended starts this anew.
  std::chrono::milliseconds pause = config_.measure_interval;
  while (!draining_ && std::any_of(sandboxes_.begin(), sandboxes_.end(), runs)) {
    co_await Sleep(pause);
    if (draining_) break;
    // Before the measurement, which takes down who is at its own limit.
    co_await LookAtPressure();
    const auto began = std::chrono::steady_clock::now();
    co_await Measure();
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(
        std::chrono::steady_clock::now() - began);
    // On a machine that is slow for another reason it still has to be looked.
    pause = std::max(config_.measure_interval, std::min(kMostOfACore * took, kLongestPause));
    if (std::chrono::steady_clock::now() - saved_at < kSaveEvery) continue;
    saved_at = std::chrono::steady_clock::now();
    co_await SaveOverheads();
  }
  measuring_ = false;
  if (!draining_) co_await SaveOverheads();
}

Task<void> Node::Measure() {
  std::string all;
  const auto found = co_await GetStats(std::move(all), true);
  if (!found.ok()) co_return;
  budget::Holdings burstable;
  int64_t burstable_used_bytes = 0;
  for (const SandboxStats& one : *found) {
    const auto it = sandboxes_.find(one.id);
    if (it == sandboxes_.end() || !IsRunning(it->second->record.state)) continue;
    Entry& entry = *it->second;
    // The supervisor is outside of the cgroup, but it is there for this sandbox alone.
    const int64_t overhead_bytes =
        SaturatingAdd(one.stats.overhead_bytes, one.stats.supervisor_bytes);
    entry.limit_hits = one.stats.limit_hits;
    entry.used_workload_bytes = one.stats.application_bytes;
    entry.used_overhead_bytes = overhead_bytes;
    const Memory& memory = entry.record.resources.memory;
    if (!IsGuaranteed(memory)) {
      burstable.Add(memory, entry.record.image_digest,
                    overheads_.Usage(ClassOf(entry.record), one.time));
      burstable_used_bytes = SaturatingAdd(burstable_used_bytes, one.stats.application_bytes);
    }
    // A record of before this was kept does not say what it runs under.
    if (entry.record.runtime_version.empty()) continue;
    // After the clock was set back the window begins anew.
    if (!entry.window || one.time < entry.window->began) {
      const int64_t peak = entry.window ? entry.window->peak_bytes : 0;
      entry.window.emplace();
      entry.window->peak_bytes = peak;
      entry.window->began = one.time;
    }
    entry.window->Add(overhead_bytes, one.stats.application_bytes);
    if (one.time - entry.window->began >= config_.measure_window) CloseWindow(entry, one.time);
  }
  burst_.Observe(burstable.burstable, burstable_used_bytes, pressure_.ran_out);
  pressure_.ran_out = false;
}

void Node::CloseWindow(Entry& entry, Time now) {
  if (!entry.window) return;
  overheads_.Add(ClassOf(entry.record), entry.window->peak_bytes, now,
                 entry.window->ProgramUsage());
  entry.window.reset();
}

Task<void> Node::SaveOverheads() {
  budget::OverheadModel::Changes changes = overheads_.TakeChanges();
  if (changes.put.empty() && changes.removed.empty()) co_return;
  auto write = [changes](store::Transaction& txn) -> Status {
    for (const OverheadRecord& record : changes.put) RETURN_IF_ERROR(txn.PutOverhead(record));
    for (const std::string& key : changes.removed) RETURN_IF_ERROR(txn.DeleteOverhead(key));
    return absl::OkStatus();
  };
  const Status saved = co_await Commit(std::move(write));
  if (!saved.ok()) overheads_.PutBack(changes);
}

std::vector<OverheadView> Node::ListOverheads(int64_t workload_bytes, int64_t request_bytes) const {
  std::map<std::string, OverheadView> views;
  const budget::Holdings holdings = Holdings();
  const budget::Counts& counts = CountActive();
  const Time now = deps_.clock.Now();
  const auto add = [&](const SandboxClass& sandboxes) {
    OverheadView view{.sandboxes = sandboxes};
    int64_t prior = 0;
    for (const DriverState& state : drivers_) {
      if (state.driver->name() == sandboxes.driver) prior = state.fingerprint.overhead_prior_bytes;
    }
    view.estimate = overheads_.Estimate(sandboxes, prior, now);
    if (!view.estimate.steps.empty()) {
      view.samples = overheads_.records().at(view.estimate.steps.back().key).samples;
    }
    view.room =
        RoomFor(sandboxes, budget::Charge(workload_bytes, view.estimate.bytes, request_bytes),
                holdings, counts);
    views[StrCat(sandboxes.driver, "/", OverheadKey(OverheadLevel::kImage, sandboxes))] =
        std::move(view);
  };
  for (const auto& [key, record] : overheads_.records()) {
    if (record.level == OverheadLevel::kImage) add(record.sandboxes);
  }
  for (const auto& [digest, image] : images_) {
    if (image.architecture != deps_.host.architecture) continue;  // it runs in guests alone
    for (const DriverState& state : drivers_) {
      if (!state.fingerprint.healthy) continue;
      Sandbox next;
      next.image_digest = digest;
      SetRuntime(state, next);
      add(ClassOf(next));
    }
  }
  std::vector<OverheadView> list;
  for (auto& [key, view] : views) list.push_back(std::move(view));
  return list;
}

}  // namespace claw::lifecycle
