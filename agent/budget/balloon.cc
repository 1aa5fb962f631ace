#include "agent/budget/balloon.h"

#include <algorithm>

#include "agent/base/bytes.h"

namespace claw::budget {
namespace {

int64_t AlignUp(int64_t bytes) {
  return SaturatingAdd(bytes, kBalloonUnit - 1) / kBalloonUnit * kBalloonUnit;
}

int64_t Margin(const BalloonRules& rules) {
  return std::max(rules.margin_bytes, SaturatingMul(2, rules.step_bytes));
}

// What a move of its balloon would free on the host: what it still holds of an earlier one is
// counted already.
int64_t Surplus(const BalloonRules& rules, const BalloonGuest& guest) {
  if (guest.pressed || !guest.rested) return 0;
  return std::max<int64_t>(0, SaturatingSub(guest.target_bytes, LeastBalloon(rules, guest)));
}

bool WantsMore(const BalloonRules& rules, const BalloonGuest& guest) {
  if (guest.target_bytes >= guest.memory_bytes || !guest.rested) return false;
  const int64_t allocatable = SaturatingSub(guest.total_bytes, guest.reserved_bytes);
  return guest.pressed || SaturatingSub(allocatable, guest.charged_bytes) < rules.step_bytes;
}

}  // namespace

int64_t LeastBalloon(const BalloonRules& rules, const BalloonGuest& guest) {
  const int64_t hidden = std::max<int64_t>(0, SaturatingSub(guest.actual_bytes, guest.total_bytes));
  const int64_t used =
      std::max<int64_t>(0, SaturatingSub(guest.total_bytes, guest.available_bytes));
  const int64_t promised = SaturatingAdd(guest.charged_bytes, guest.reserved_bytes);
  const int64_t needed =
      SaturatingAdd(SaturatingAdd(std::max(promised, used), Margin(rules)), hidden);
  return std::min(guest.memory_bytes, AlignUp(std::max(rules.floor_bytes, needed)));
}

std::vector<BalloonMove> ShrinkFor(const BalloonRules& rules,
                                   const std::vector<BalloonGuest>& guests, int64_t bytes) {
  struct Candidate {
    const BalloonGuest* guest;
    int64_t surplus;
  };
  std::vector<Candidate> candidates;
  int64_t all = 0;
  for (const BalloonGuest& guest : guests) {
    bytes = SaturatingSub(bytes, SaturatingSub(guest.held_bytes, guest.target_bytes));
    const int64_t surplus = Surplus(rules, guest);
    if (surplus < kBalloonUnit) continue;
    candidates.push_back({.guest = &guest, .surplus = surplus});
    all = SaturatingAdd(all, surplus);
  }
  std::vector<BalloonMove> moves;
  if (bytes <= 0 || all < bytes) return moves;
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) { return a.surplus > b.surplus; });
  for (const Candidate& candidate : candidates) {
    if (bytes <= 0) break;
    const BalloonGuest& guest = *candidate.guest;
    const int64_t least = guest.target_bytes - candidate.surplus;
    // Down to a whole unit, but never below the least, which is one or all of its memory.
    const int64_t wanted = guest.target_bytes - std::min(candidate.surplus, bytes);
    const int64_t to = std::max(least, wanted / kBalloonUnit * kBalloonUnit);
    moves.push_back({.name = guest.name, .from_bytes = guest.target_bytes, .to_bytes = to});
    bytes -= guest.target_bytes - to;
  }
  return moves;
}

std::optional<BalloonMove> GrowFor(const BalloonGuest& guest, int64_t bytes) {
  const int64_t allocatable = SaturatingSub(guest.total_bytes, guest.reserved_bytes);
  const int64_t missing = SaturatingSub(bytes, SaturatingSub(allocatable, guest.charged_bytes));
  const int64_t left = SaturatingSub(guest.memory_bytes, guest.target_bytes);
  if (missing <= 0 || missing > left) return std::nullopt;
  const int64_t to = std::min(guest.memory_bytes, AlignUp(guest.target_bytes + missing));
  return BalloonMove{.name = guest.name, .from_bytes = guest.target_bytes, .to_bytes = to};
}

std::vector<BalloonMove> GrowWithin(const BalloonRules& rules,
                                    const std::vector<BalloonGuest>& guests, int64_t free_bytes) {
  std::vector<const BalloonGuest*> wanting;
  for (const BalloonGuest& guest : guests) {
    if (WantsMore(rules, guest)) wanting.push_back(&guest);
  }
  std::stable_sort(
      wanting.begin(), wanting.end(),
      [](const BalloonGuest* a, const BalloonGuest* b) { return a->pressed && !b->pressed; });
  std::vector<BalloonMove> moves;
  for (const BalloonGuest* guest : wanting) {
    const int64_t step = SaturatingAdd(guest->target_bytes, AlignUp(rules.step_bytes));
    int64_t to = guest->memory_bytes;
    if (step < to) to = step / kBalloonUnit * kBalloonUnit;
    // What it is charged already costs nobody anything.
    const int64_t cost = std::max<int64_t>(0, SaturatingSub(to, guest->held_bytes));
    if (to <= guest->target_bytes || cost > free_bytes) continue;
    free_bytes -= cost;
    moves.push_back({.name = guest->name, .from_bytes = guest->target_bytes, .to_bytes = to});
  }
  return moves;
}

}  // namespace claw::budget
