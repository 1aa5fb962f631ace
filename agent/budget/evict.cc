#include "agent/budget/evict.h"

#include <algorithm>
#include <tuple>

namespace claw::budget {

std::optional<EvictionCandidate> ChooseVictim(const std::vector<EvictionCandidate>& candidates) {
  const auto rank = [](const EvictionCandidate& one) {
    return std::tuple(one.over_bytes() <= 0, one.priority, -ToMicros(one.started_at),
                      -one.over_bytes(), one.id);
  };
  std::optional<EvictionCandidate> victim;
  for (const EvictionCandidate& one : candidates) {
    if (one.guaranteed && one.over_bytes() <= 0) continue;
    if (!victim || rank(one) < rank(*victim)) victim = one;
  }
  return victim;
}

}  // namespace claw::budget
