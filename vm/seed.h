#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "agent/base/status.h"

namespace claw::vm {

struct SeedFile {
  std::string name{};  // without a folder
  std::string content{};
};

// What a guest is handed at its boot, as a tar file (ustar) that serves as a disk; mode 0600, as
// there are keys in it. In place whole or not at all.
Status WriteSeed(const std::filesystem::path& path, const std::vector<SeedFile>& files);

// The disk of a guest's state: sparse, raw. What is there already is kept and at most made larger.
Status MakeStateDisk(const std::filesystem::path& path, int64_t bytes);

}  // namespace claw::vm
