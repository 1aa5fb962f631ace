#pragma once

#include <cstdint>

namespace claw::placement {

// How much each part of a score counts against the others. Any number from 0 on.
struct Weights {
  double fit = 4;  // how little memory would be left: full targets first, so that others stay free
  double image = 2;   // its image is unpacked there already
  double spread = 3;  // few sandboxes of its tenant are there: one target's end hits fewer of them
  double native = 8;  // the processor is no emulation
  double warm = 2;    // it runs: no VM has to be started first
};

// Each part from 0 (bad) to 1 (good), and their weighted mean.
struct Score {
  double fit = 0;
  double image = 0;
  double spread = 0;
  double native = 0;
  double warm = 0;
  double total = 0;
};

// What a score is made from.
struct ScoreInput {
  int64_t allocatable_bytes = 0;
  int64_t residual_bytes = 0;  // predicted: what is left when the sandbox is there
  bool has_image = false;
  int64_t of_tenant = 0;  // sandboxes of its tenant that are there
  bool emulated = false;
  bool running = true;
};

// Pure. A larger residual never scores better, nor do more sandboxes of the tenant.
Score Rate(const ScoreInput& input, const Weights& weights);

}  // namespace claw::placement
