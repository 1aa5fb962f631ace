#pragma once

#include <filesystem>

#include "agent/base/status.h"
#include "agent/model/host_room.h"

namespace claw::host {

// As it is now, of the file system of `folder`. Blocks for a moment. linux/ and darwin/ each have
// one. Errors: those of the system calls.
StatusOr<HostRoom> ReadRoom(const std::filesystem::path& folder);

}  // namespace claw::host
