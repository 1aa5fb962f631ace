#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/base/status.h"
#include "claw/node/v1/compat.pb.h"

namespace claw::ctl {

namespace pb = claw::node::v1;

// One [[image]] of a suite.
struct SuiteImage {
  std::string name;
  // Where to import it from before the test, as `image import` takes it, relative to the folder of
  // the suite file. Empty: it is on the node already.
  std::string source;
  // Of a probe; 0: the node's default.
  int64_t memory_bytes = 0;
  std::vector<pb::Probe> probes;
  int line = 0;
};

struct Suite {
  std::string path;
  std::vector<SuiteImage> images;
};

// Reads a suite (TOML; README.md in tools/compat explains the keys). Strict: unknown keys, values
// of another type, wrong amounts, names that are there twice and bytes that are not UTF-8 are
// INVALID_ARGUMENT, "FILE:LINE: …". At least one image.
StatusOr<Suite> ParseSuite(std::string_view text, const std::string& path);

// ParseSuite of the file's content; NOT_FOUND if there is no such file.
StatusOr<Suite> ReadSuite(const std::string& path);

}  // namespace claw::ctl
