#include "agent/budget/balloon.h"

#include <rapidcheck/catch.h>
#include <algorithm>
#include <catch2/catch.hpp>
#include <map>

#include "agent/base/bytes.h"

namespace claw::budget {
namespace {

const BalloonRules kRules;

// Of 4 GiB, of which its kernel hides 64 MiB; 256 MiB are in use, nothing is charged.
BalloonGuest Idle(const std::string& name = "mac1") {
  BalloonGuest guest{.name = name,
                     .memory_bytes = 4 * kGiB,
                     .target_bytes = 4 * kGiB,
                     .held_bytes = 4 * kGiB,
                     .actual_bytes = 4 * kGiB,
                     .reserved_bytes = 448 * kMiB};
  guest.total_bytes = guest.actual_bytes - 64 * kMiB;
  guest.available_bytes = guest.total_bytes - 256 * kMiB;
  return guest;
}

// Moved, and seen to have followed.
BalloonGuest Moved(BalloonGuest guest, int64_t to) {
  const int64_t by = guest.actual_bytes - to;
  guest.target_bytes = guest.held_bytes = guest.actual_bytes = to;
  guest.total_bytes -= by;
  guest.available_bytes -= by;
  return guest;
}

TEST_CASE("a guest keeps its floor, what it has promised, and what its kernel uses") {
  BalloonGuest guest = Idle();
  // Reserves 448, margin 128 and what is hidden, 64.
  CHECK(LeastBalloon(kRules, guest) == 640 * kMiB);
  guest.charged_bytes = 1001 * kMiB;
  CHECK(LeastBalloon(kRules, guest) == 1648 * kMiB);  // a whole unit, and no less
  guest.available_bytes = guest.total_bytes - 3 * kGiB;
  CHECK(LeastBalloon(kRules, guest) == 3 * kGiB + 192 * kMiB);
  guest.available_bytes = 0;
  CHECK(LeastBalloon(kRules, guest) == 4 * kGiB);  // never more than all
  guest = Idle();
  guest.reserved_bytes = 0;
  guest.available_bytes = guest.total_bytes;
  CHECK(LeastBalloon(kRules, guest) == 384 * kMiB);
}

TEST_CASE("nobody is shrunk unless the host needs it, and nobody for nothing") {
  const std::vector<BalloonGuest> guests = {Idle()};
  CHECK(ShrinkFor(kRules, guests, 0).empty());
  CHECK(ShrinkFor(kRules, guests, -kGiB).empty());
  CHECK(ShrinkFor(kRules, guests, 4 * kGiB).empty());  // it could not be had
  const auto moves = ShrinkFor(kRules, guests, kGiB + 1);
  REQUIRE(moves.size() == 1);
  CHECK(moves[0] == BalloonMove{"mac1", 4 * kGiB, 3 * kGiB - 16 * kMiB});
}

TEST_CASE("whoever has most to spare is asked first") {
  BalloonGuest busy = Idle("busy");
  busy.charged_bytes = 2 * kGiB;
  std::vector<BalloonGuest> guests = {busy, Idle("idle")};
  auto moves = ShrinkFor(kRules, guests, kGiB);
  REQUIRE(moves.size() == 1);
  CHECK(moves[0].name == "idle");
  moves = ShrinkFor(kRules, guests, 4 * kGiB);
  REQUIRE(moves.size() == 2);
  CHECK(moves[0] == BalloonMove{"idle", 4 * kGiB, 640 * kMiB});
  CHECK(moves[1].name == "busy");
  SECTION("not one under pressure") {
    guests[1].pressed = true;
    CHECK(ShrinkFor(kRules, guests, kGiB)[0].name == "busy");
  }
  SECTION("not one that has just been moved") {
    guests[1].rested = false;
    CHECK(ShrinkFor(kRules, guests, kGiB)[0].name == "busy");
  }
  SECTION("what is on its way counts") {
    guests[1].target_bytes = 3 * kGiB;
    guests[1].rested = false;
    CHECK(ShrinkFor(kRules, guests, kGiB).empty());
    moves = ShrinkFor(kRules, guests, kGiB + 16 * kMiB);
    REQUIRE(moves.size() == 1);
    CHECK(moves[0] == BalloonMove{"busy", 4 * kGiB, 4 * kGiB - 16 * kMiB});
  }
}

TEST_CASE("a guest grows when it is full or under pressure, and the host has room") {
  BalloonGuest guest = Moved(Idle(), 2 * kGiB);
  CHECK(GrowWithin(kRules, {guest}, kGiB).empty());
  SECTION("full") {
    guest.charged_bytes = guest.total_bytes - guest.reserved_bytes - 63 * kMiB;
    const auto moves = GrowWithin(kRules, {guest}, 64 * kMiB);
    REQUIRE(moves.size() == 1);
    CHECK(moves[0] == BalloonMove{"mac1", 2 * kGiB, 2 * kGiB + 64 * kMiB});
    CHECK(GrowWithin(kRules, {guest}, 64 * kMiB - 1).empty());
  }
  SECTION("under pressure, and those first") {
    BalloonGuest full = guest;
    full.name = "full";
    full.charged_bytes = full.total_bytes;
    guest.pressed = true;
    const auto moves = GrowWithin(kRules, {full, guest}, 100 * kMiB);
    REQUIRE(moves.size() == 1);
    CHECK(moves[0].name == "mac1");
    guest.rested = false;
    CHECK(GrowWithin(kRules, {guest}, kGiB).empty());
  }
  SECTION("what it holds still is its own") {
    guest.held_bytes = 4 * kGiB;
    guest.pressed = true;
    CHECK(GrowWithin(kRules, {guest}, 0).size() == 1);
  }
  SECTION("never beyond all of it") {
    guest = Idle();
    guest.pressed = true;
    CHECK(GrowWithin(kRules, {guest}, kGiB).empty());
    guest = Moved(guest, 4 * kGiB - 16 * kMiB);
    CHECK(GrowWithin(kRules, {guest}, kGiB)[0].to_bytes == 4 * kGiB);
  }
}

TEST_CASE("what a guest refused can be made to fit by its own memory alone") {
  BalloonGuest guest = Moved(Idle(), 2 * kGiB);
  guest.charged_bytes = guest.total_bytes - guest.reserved_bytes - 100 * kMiB;
  CHECK(GrowFor(guest, 100 * kMiB) == std::nullopt);
  CHECK(GrowFor(guest, 100 * kMiB + 1) == BalloonMove{"mac1", 2 * kGiB, 2 * kGiB + 16 * kMiB});
  CHECK(GrowFor(guest, 100 * kMiB + 2 * kGiB) == BalloonMove{"mac1", 2 * kGiB, 4 * kGiB});
  CHECK(GrowFor(guest, 101 * kMiB + 2 * kGiB) == std::nullopt);
  CHECK(GrowFor(guest, INT64_MAX) == std::nullopt);
}

BalloonGuest AnyGuest(const std::string& name) {
  const auto mib = [](int64_t least, int64_t most) {
    return *rc::gen::inRange(least, most + 1) * kMiB;
  };
  BalloonGuest guest{.name = name, .memory_bytes = mib(384, 4096)};
  guest.target_bytes = std::min(guest.memory_bytes, mib(384, 4096) / kBalloonUnit * kBalloonUnit);
  guest.held_bytes = guest.target_bytes;
  if (*rc::gen::inRange(0, 3) == 0) guest.held_bytes = guest.memory_bytes;
  guest.actual_bytes = guest.held_bytes;
  guest.total_bytes = guest.actual_bytes - mib(0, 64);
  guest.available_bytes = std::min(guest.total_bytes, mib(0, 4096));
  guest.reserved_bytes = mib(0, 300);
  guest.charged_bytes = mib(0, 2048);
  guest.pressed = *rc::gen::inRange(0, 4) == 0;
  guest.rested = *rc::gen::inRange(0, 4) > 0;
  return guest;
}

TEST_CASE("balloons stay within their bounds, and the host within its memory") {
  rc::prop("random guests", [] {
    std::map<std::string, BalloonGuest> guests;
    std::vector<BalloonGuest> all;
    for (int i = *rc::gen::inRange(0, 6); i > 0; --i) {
      all.push_back(AnyGuest("vm" + std::to_string(i)));
      guests[all.back().name] = all.back();
    }
    const int64_t asked = *rc::gen::inRange<int64_t>(-100, 4096) * kMiB + *rc::gen::inRange(0, 9);
    int64_t on_its_way = 0;
    for (const BalloonGuest& guest : all) on_its_way += guest.held_bytes - guest.target_bytes;
    const auto shrunk = ShrinkFor(kRules, all, asked);
    int64_t freed = on_its_way;
    for (const BalloonMove& move : shrunk) {
      const BalloonGuest& guest = guests.at(move.name);
      RC_ASSERT(guest.rested && !guest.pressed);
      RC_ASSERT(move.from_bytes == guest.target_bytes);
      RC_ASSERT(move.to_bytes < move.from_bytes);
      RC_ASSERT(move.to_bytes >= LeastBalloon(kRules, guest));
      RC_ASSERT(move.to_bytes % kBalloonUnit == 0);
      freed += move.from_bytes - move.to_bytes;
      // Without the last one it would not have been enough.
      if (&move == &shrunk.back()) RC_ASSERT(freed - (move.from_bytes - move.to_bytes) < asked);
    }
    if (!shrunk.empty()) RC_ASSERT(freed >= asked);

    const int64_t room = *rc::gen::inRange<int64_t>(0, 512) * kMiB;
    int64_t taken = 0;
    for (const BalloonMove& move : GrowWithin(kRules, all, room)) {
      const BalloonGuest& guest = guests.at(move.name);
      RC_ASSERT(guest.rested);
      RC_ASSERT(move.to_bytes > move.from_bytes);
      RC_ASSERT(move.to_bytes <= guest.memory_bytes);
      RC_ASSERT(move.to_bytes % kBalloonUnit == 0 || move.to_bytes == guest.memory_bytes);
      taken += std::max<int64_t>(0, move.to_bytes - guest.held_bytes);
    }
    RC_ASSERT(taken <= room);
  });
}

TEST_CASE("a balloon that has moved one way is not moved back for that") {
  rc::prop("random guests", [] {
    BalloonGuest guest = AnyGuest("mac1");
    guest.rested = true;
    guest.held_bytes = guest.actual_bytes = guest.target_bytes;
    guest.total_bytes = guest.actual_bytes - 32 * kMiB;
    guest.available_bytes = std::min(guest.available_bytes, guest.total_bytes);
    const int64_t asked = *rc::gen::inRange<int64_t>(1, 4096) * kMiB;
    const auto shrunk = ShrinkFor(kRules, {guest}, asked);
    const auto grown = GrowWithin(kRules, {guest}, 8 * kGiB);
    RC_ASSERT(shrunk.empty() || grown.empty());
    if (!shrunk.empty()) {
      RC_ASSERT(GrowWithin(kRules, {Moved(guest, shrunk[0].to_bytes)}, 8 * kGiB).empty());
    }
    if (!grown.empty()) {
      RC_ASSERT(ShrinkFor(kRules, {Moved(guest, grown[0].to_bytes)}, kBalloonUnit).empty());
    }
  });
}

}  // namespace
}  // namespace claw::budget
