#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

// How much of its memory each guest is to have. Pure: the caller brings what guests and their
// hypervisor report.
//
// A guest is shrunk only when somebody on the host was refused for want of memory, and only by what
// it has to spare; it grows back when it is full or under pressure and the host has room. A shrink
// leaves it `margin_bytes`, two steps, so that what it is left with neither makes it grow at once
// nor, once it has grown by a step, makes it worth shrinking.

namespace claw::budget {

// Balloons are set to whole ones of these.
inline constexpr int64_t kBalloonUnit = int64_t{16} << 20;

struct BalloonRules {
  int64_t floor_bytes = int64_t{384} << 20;
  int64_t step_bytes = int64_t{64} << 20;
  // That a guest keeps beyond what it needs; no less than two steps.
  int64_t margin_bytes = int64_t{128} << 20;
};

// A guest that runs and answers, in bytes.
struct BalloonGuest {
  std::string name{};
  int64_t memory_bytes = 0;  // with an empty balloon
  int64_t target_bytes = 0;  // what it is to have at present
  int64_t held_bytes = 0;    // what it is charged, hypervisor left out: never less than the target
  int64_t actual_bytes = 0;  // what it has indeed
  // By its kernel: less than `actual_bytes` by what the kernel never hands out.
  int64_t total_bytes = 0;
  int64_t available_bytes = 0;
  // By its ledger.
  int64_t reserved_bytes = 0;
  int64_t charged_bytes = 0;
  bool pressed = false;  // its agent has dialled back
  bool rested = true;    // its balloon has not moved for a while
};

// From what a guest is to have now to what it is to have instead.
struct BalloonMove {
  std::string name{};
  int64_t from_bytes = 0;
  int64_t to_bytes = 0;

  bool operator==(const BalloonMove&) const = default;
};

// The least that this guest may be shrunk to: the floor, what its ledger has promised and keeps
// back, and what its kernel has in use, the last two with a margin. At most all of its memory.
int64_t LeastBalloon(const BalloonRules& rules, const BalloonGuest& guest);

// Who is shrunk, largest surplus first, so that at least `bytes` of the host become free, counting
// what guests have been told to give back and still hold. Empty if that is enough, and if even all
// surpluses together are not: then nobody is disturbed for nothing.
std::vector<BalloonMove> ShrinkFor(const BalloonRules& rules,
                                   const std::vector<BalloonGuest>& guests, int64_t bytes);

// The move after which `bytes` more of its ledger are free for something that this guest refused;
// absent: they are already, or all of its memory is not enough.
std::optional<BalloonMove> GrowFor(const BalloonGuest& guest, int64_t bytes);

// Who grows, those under pressure first, by a step each, within `free_bytes` of the host.
std::vector<BalloonMove> GrowWithin(const BalloonRules& rules,
                                    const std::vector<BalloonGuest>& guests, int64_t free_bytes);

}  // namespace claw::budget
