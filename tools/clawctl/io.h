#pragma once

namespace claw::ctl {

// Where a command reads and writes. Descriptors, because programs' output goes through as bytes.
struct Io {
  int in = 0;
  int out = 1;
  int err = 2;
};

}  // namespace claw::ctl
