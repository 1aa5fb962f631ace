#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/model/overhead.h"

namespace claw::budget {

// A running sandbox, as far as it matters for who has to go when the node is short of memory.
struct EvictionCandidate {
  std::string id{};
  bool guaranteed = true;
  int64_t used_bytes = 0;     // by its program
  int64_t request_bytes = 0;  // what was set aside for its program
  int64_t priority = 0;
  Time started_at{};

  int64_t over_bytes() const { return used_bytes - request_bytes; }
};

// Who goes first: those over their request, the lower priority first, then the youngest, which
// loses the least work. Of the same age the one that is further over. A guaranteed sandbox within
// its request never goes. Absent: nobody can be asked to.
std::optional<EvictionCandidate> ChooseVictim(const std::vector<EvictionCandidate>& candidates);

}  // namespace claw::budget
