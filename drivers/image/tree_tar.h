#pragma once

#include <filesystem>
#include <functional>
#include <string_view>

#include "agent/base/status.h"

namespace claw::image {

// Takes the next bytes; an error ends the writing, and is its error.
using TakeBytes = std::function<Status(std::string_view bytes)>;

// Writes what stands below a root folder of the store as one tar (pax): owners, modes, times to the
// nanosecond, attributes, hard and symbolic links, and files with their holes; parents before what
// is in them. What belongs to one machine is left out: attributes of "security." and "trusted.".
// Nobody writes to the tree meanwhile. Blocks. Errors: CORRUPT_IMAGE for what no tree of the store
// has (device nodes, FIFOs, sockets), those of the disk.
Status WriteTree(const std::filesystem::path& rootfs, const TakeBytes& take);

}  // namespace claw::image
