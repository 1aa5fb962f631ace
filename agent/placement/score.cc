#include "agent/placement/score.h"

#include <algorithm>

namespace claw::placement {

Score Rate(const ScoreInput& input, const Weights& weights) {
  Score score;
  if (input.allocatable_bytes > 0) {
    const double residual = static_cast<double>(std::max<int64_t>(0, input.residual_bytes));
    score.fit = std::clamp(1 - residual / static_cast<double>(input.allocatable_bytes), 0.0, 1.0);
  }
  score.image = input.has_image ? 1 : 0;
  score.spread = 1 / (1 + static_cast<double>(std::max<int64_t>(0, input.of_tenant)));
  score.native = input.emulated ? 0 : 1;
  score.warm = input.running ? 1 : 0;
  const double sum = weights.fit + weights.image + weights.spread + weights.native + weights.warm;
  if (sum <= 0) return score;
  score.total =
      (weights.fit * score.fit + weights.image * score.image + weights.spread * score.spread +
       weights.native * score.native + weights.warm * score.warm) /
      sum;
  return score;
}

}  // namespace claw::placement
