#include "agent/placement/score.h"

#include <rapidcheck/catch.h>
#include <catch2/catch.hpp>
#include <limits>

namespace claw::placement {
namespace {

int64_t AnySize() {
  return *rc::gen::oneOf(rc::gen::inRange<int64_t>(-1000, 1000), rc::gen::arbitrary<int64_t>(),
                         rc::gen::element<int64_t>(0, std::numeric_limits<int64_t>::min(),
                                                   std::numeric_limits<int64_t>::max()));
}

ScoreInput AnyInput() {
  return {.allocatable_bytes = AnySize(),
          .residual_bytes = AnySize(),
          .has_image = *rc::gen::arbitrary<bool>(),
          .of_tenant = AnySize(),
          .emulated = *rc::gen::arbitrary<bool>(),
          .running = *rc::gen::arbitrary<bool>()};
}

Weights AnyWeights() {
  const auto weight = [] { return *rc::gen::element(0.0, 1e-9, 0.3, 1.0, 7.0, 1e9); };
  return {
      .fit = weight(), .image = weight(), .spread = weight(), .native = weight(), .warm = weight()};
}

TEST_CASE("a score and its parts lie between 0 and 1") {
  rc::prop("range", [] {
    const Score score = Rate(AnyInput(), AnyWeights());
    for (const double part :
         {score.fit, score.image, score.spread, score.native, score.warm, score.total}) {
      RC_ASSERT(part >= 0);
      RC_ASSERT(part <= 1);
    }
  });
}

TEST_CASE("more that is left, and more of the tenant, never score better") {
  rc::prop("monotone", [] {
    const ScoreInput input = AnyInput();
    const Weights weights = AnyWeights();
    ScoreInput emptier = input;
    emptier.residual_bytes = std::max(input.residual_bytes, AnySize());
    RC_ASSERT(Rate(emptier, weights).total <= Rate(input, weights).total);
    ScoreInput crowded = input;
    crowded.of_tenant = std::max(input.of_tenant, AnySize());
    RC_ASSERT(Rate(crowded, weights).total <= Rate(input, weights).total);
  });
}

TEST_CASE("each part counts by its weight, and by it alone") {
  const ScoreInput poor = {.allocatable_bytes = 100,
                           .residual_bytes = 75,
                           .of_tenant = 3,
                           .emulated = true,
                           .running = false};
  const Weights none = {.fit = 0, .image = 0, .spread = 0, .native = 0, .warm = 0};
  CHECK(Rate(poor, none).total == 0);
  const Score parts = Rate(poor, none);
  CHECK(parts.fit == Approx(0.25));
  CHECK(parts.spread == Approx(0.25));
  CHECK(parts.image + parts.native + parts.warm == 0);
  const struct {
    double Weights::*weight;
    ScoreInput better;
    double before;
    double after;
  } cases[] = {
      {&Weights::fit, {.allocatable_bytes = 100, .residual_bytes = 10}, 0.25, 0.9},
      {&Weights::image, {.has_image = true}, 0, 1},
      {&Weights::spread, {.of_tenant = 1}, 0.25, 0.5},
      {&Weights::native, {.emulated = false}, 0, 1},
      {&Weights::warm, {.running = true}, 0, 1},
  };
  for (const auto& one : cases) {
    Weights weights = none;
    weights.*one.weight = 3;
    CHECK(Rate(poor, weights).total == Approx(one.before));
    CHECK(Rate(one.better, weights).total == Approx(one.after));
  }
  Weights two = none;
  two.fit = 1;
  two.warm = 3;
  CHECK(Rate({.allocatable_bytes = 100, .residual_bytes = 60, .running = true}, two).total ==
        Approx(0.85));
}

TEST_CASE("a target without memory, or with less than nothing left, is rated all the same") {
  CHECK(Rate({.allocatable_bytes = 0}, {}).fit == 0);
  CHECK(Rate({.allocatable_bytes = 100, .residual_bytes = -50}, {}).fit == 1);
  CHECK(Rate({.allocatable_bytes = 100, .residual_bytes = 500}, {}).fit == 0);
}

}  // namespace
}  // namespace claw::placement
