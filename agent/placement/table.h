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
// numbers of each, then asks the one feasibility function (Examiner) from the best on; the first
// that fits is taken. What a target holds costs nothing here. Value type.
class Table {
 public:
  // In the place of the one of the same name.
  void Put(Target target, const Settings& settings);
  void Drop(const std::string& name);
  const Target* Find(const std::string& name) const;  // null: there is none; until Put or Drop
  size_t size() const { return slots_.size(); }

  struct Choice {
    const Target* target = nullptr;  // until Put or Drop
    Offer offer{};
    Score score{};
  };
  // The best that fits; among equals the one that came first. If none does: the refusal of the
  // only target, or one that counts what stands in the way, with the details of the commonest.
  StatusOr<Choice> Choose(const Demand& demand, const Settings& settings) const;
  // Every target, those that fit first, then by score. At most `most`; 0: all.
  std::vector<Explanation> Explain(const Demand& demand, const Settings& settings,
                                   size_t most = 0) const;

 private:
  struct Row {
    int64_t allocatable_bytes = 0;
    int64_t required_bytes = 0;
    uint32_t platform = 0;
    bool emulated = false;
    bool running = true;
    bool used = false;
  };
  struct Rank {
    double score = 0;
    uint32_t slot = 0;
  };
  static bool IsWorse(const Rank& a, const Rank& b);
  uint32_t PlatformOf(const std::shared_ptr<const Platform>& platform);
  std::vector<Rank> RankAll(const Demand& demand, const Settings& settings,
                            Examiner& examiner) const;
  Status RefuseAll(Examiner& examiner) const;

  std::vector<std::shared_ptr<const Platform>> platforms_;  // different ones
  std::vector<Row> rows_;
  std::vector<Target> targets_;  // as rows_
  std::vector<uint32_t> free_;
  std::map<std::string, uint32_t> slots_;
  // Where a tenant has sandboxes, and how many; where an image is.
  std::unordered_map<std::string, std::map<uint32_t, int64_t>> by_tenant_;
  std::unordered_map<std::string, std::map<uint32_t, bool>> by_image_;
};

}  // namespace claw::placement
