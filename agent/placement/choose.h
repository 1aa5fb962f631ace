#pragma once

#include <cstdint>
#include <map>
#include <string_view>
#include <vector>

#include "agent/placement/examine.h"

namespace claw::placement {

// What stands in the way, over many targets, which outlive it.
class Tally {
 public:
  void Add(std::string_view obstacle, const Target& target);
  // At least one has been added, and the examiner refuses them all: the refusal of the only one, or
  // one that counts what stands in the way, with the details of the commonest …
  Status ToRefusal(Examiner& examiner) const;
  // … or of this one.
  Status ToRefusal(Examiner& examiner, const Target& shown) const;

 private:
  struct Count {
    int64_t targets = 0;
    const Target* first = nullptr;
  };
  std::map<std::string_view, Count> counts_;
  int64_t all_ = 0;
};

// Of a few targets, none of them null: a node's own. Where there are many, see Table.
struct Choice {
  const Target* target = nullptr;
  Offer offer{};
};
// The one with the best score of those that fit; among equals the earlier one. If none does, the
// refusal has the details of the one that is nearest to it: whose first obstacle is asked last.
StatusOr<Choice> Choose(const std::vector<const Target*>& targets, const Demand& demand,
                        const Settings& settings);

// Those that fit first, then by score.
void SortByPreference(std::vector<Explanation>& explanations);

}  // namespace claw::placement
