#pragma once

#include <filesystem>

#include "agent/model/hardening.h"

namespace claw::host {

// What POSIX tells of a folder; it need not exist.
FolderFacts ReadFolderFacts(const std::filesystem::path& path);

}  // namespace claw::host
