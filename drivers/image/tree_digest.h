#pragma once

#include <filesystem>
#include <string>

#include "agent/base/status.h"

namespace claw::image {

// The digest of a folder, for images that have no manifest. SHA-256 over one record for each entry
// below the root, parents first and names of a folder in byte order: type, mode, owner, group,
// path, and the size and bytes of a file or the target of a link. Paths and targets are preceded by
// their length, so no two trees make the same bytes. Times, hard links and extended attributes are
// left out: two copies of one folder are the same image.
StatusOr<std::string> TreeDigest(const std::filesystem::path& root);

}  // namespace claw::image
