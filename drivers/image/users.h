#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

#include "agent/base/status.h"

namespace claw::image {

struct ImageUser {
  int64_t uid = 0;
  int64_t gid = 0;
  std::vector<int64_t> additional_gids;
};

// The ids behind an image's user ("", "1000", "app", "app:staff", "1000:1000"), with names looked
// up in the image's own /etc/passwd and /etc/group. Symbolic links in there are followed as a
// process within the image would: never out of `rootfs`. "" is root. Numbers need no entry.
// Additional groups are those that list the user, unless a group is given. Errors: CORRUPT_IMAGE
// (no such user or group, a number out of range).
StatusOr<ImageUser> ResolveUser(const std::filesystem::path& rootfs, std::string_view user);

}  // namespace claw::image
