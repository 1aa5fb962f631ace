#pragma once

#include "agent/placement/examine.h"

namespace claw::placement {

// What follows for the demand from a platform alone.
struct Examiner::View {
  const ImageChoice* image = nullptr;  // null: there is none for its architecture
  policy::Decision decision{};
  Status refusal{};                  // of the isolation policy
  const Runtime* runtime = nullptr;  // null: the policy gives no class
  Memory memory{};
  UsageMoments seen{};
};

}  // namespace claw::placement
