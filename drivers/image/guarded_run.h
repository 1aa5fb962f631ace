#pragma once

#include <chrono>
#include <filesystem>

#include "agent/base/subprocess.h"

namespace claw::image {

struct Guard {
  std::filesystem::path disk;  // any path on the file system that is written to
  int64_t min_free_bytes = 0;  // the program is killed once less than this is free there
  int64_t max_file_bytes = 0;  // the largest file the program may write; 0: no limit
  std::chrono::milliseconds timeout = std::chrono::minutes(30);
  size_t max_output_bytes = 1 << 20;
};

// Runs a program that writes what an untrusted image or registry tells it to, and kills it before
// it has filled the disk. Errors: RESOURCE_EXHAUSTED (DISK_FULL), DEADLINE_EXCEEDED, those of
// Spawn. An exit code other than 0 is no error here.
StatusOr<RunResult> RunGuarded(ProcessSpec spec, const Guard& guard);

}  // namespace claw::image
