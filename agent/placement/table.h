#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "agent/placement/examine.h"

namespace claw::placement {

// Many targets, and which of them takes a sandbox. Ranks all by score in one pass over a few
// numbers of each, then asks the one feasibility function (Examiner) from the best on; the best
// that fits is taken. What a target holds costs nothing here. Value type.
class Table {
 public:
  // In the place of the one of the same name.
  void Put(Target target, const Settings& settings);
  void Drop(const std::string& name);
  // One sandbox of a target, as Occupancy::Put and Drop have it: costs the same however many are
  // there. Nothing happens where there is no such target.
  void PutSandbox(const std::string& name, const Sandbox& sandbox, const Settings& settings);
  void DropSandbox(const std::string& name, const std::string& id, const Settings& settings);
  const Target* Find(const std::string& name) const;  // null: there is none; until Put or Drop
  size_t size() const { return slots_.size(); }

  struct Choice {
    const Target* target = nullptr;  // until Put or Drop
    Offer offer{};
    Score score{};
  };
  // The best that fits; among equals the one in the lowest slot. If none does: the refusal of the
  // only target, or one that counts what stands in the way, with the details of the commonest.
  StatusOr<Choice> Choose(const Demand& demand, const Settings& settings) const;
  // Every target, those that fit first, then by score. At most `most`; 0: all.
  std::vector<Explanation> Explain(const Demand& demand, const Settings& settings,
                                   size_t most = 0) const;

 private:
  struct Row {
    int64_t allocatable_bytes = 0;
    int64_t required_bytes = 0;  // as of the last change: a burst model may have moved on
    int64_t charged_bytes = 0;
    uint32_t platform = 0;
    bool emulated = false;
    bool running = true;
    bool used = false;
  };
  struct Rank {
    double score = 0;
    uint32_t slot = 0;
  };
  struct Ranking {
    std::vector<Rank> likely{};
    // Slots that take it only if their rows are out of date: too full, or without its runtime.
    std::vector<uint32_t> unlikely{};
  };
  struct SharedPlatform {
    std::shared_ptr<const Platform> platform{};  // null: free for another
    int64_t targets = 0;
  };
  // Of a tenant or an image: where it is, and how often. Flat and in order, because those that are
  // everywhere are walked through by every decision.
  struct Entry {
    uint32_t slot = 0;
    int64_t count = 0;
  };
  using Index = std::unordered_map<std::string, std::vector<Entry>>;

  static bool IsWorse(const Rank& a, const Rank& b);
  uint32_t SlotOf(const std::string& name);
  uint32_t JoinPlatform(const std::shared_ptr<const Platform>& platform);
  void LeavePlatform(uint32_t index);
  void Reindex(uint32_t slot, const Target& before, const Target& after);
  void RecountTenant(uint32_t slot, const std::string& tenant);
  void Measure(uint32_t slot, const Settings& settings);
  std::vector<ScoreInput> Inputs(const Demand& demand) const;
  Ranking RankAll(const Demand& demand, const Settings& settings, Examiner& examiner) const;
  StatusOr<Choice> Take(uint32_t slot, const Demand& demand, Examiner& examiner) const;
  static void SetCount(Index& index, const std::string& key, uint32_t slot, int64_t count);

  std::vector<SharedPlatform> platforms_;  // different ones
  std::vector<Row> rows_;
  std::vector<Target> targets_;  // as rows_
  std::vector<uint32_t> free_;
  std::map<std::string, uint32_t> slots_;
  Index by_tenant_;
  Index by_image_;
};

}  // namespace claw::placement
