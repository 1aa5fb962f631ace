#pragma once

#include <filesystem>

#include "agent/base/status.h"

namespace claw {

// Makes the way free for a server on this path: its folder is there (mode 0711), and a socket that
// an agent before us left behind is gone. FAILED_PRECONDITION if somebody answers there, or if
// something is there that is no socket; INVALID_ARGUMENT if the path is too long for a socket.
Status ClearSocketPath(const std::filesystem::path& path);

}  // namespace claw
