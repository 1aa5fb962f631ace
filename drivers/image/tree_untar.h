#pragma once

#include <filesystem>
#include <functional>
#include <string_view>

#include "agent/base/status.h"
#include "drivers/image/layer_scan.h"

namespace claw::image {

// The next bytes of the tar, which stay until the next call; empty: its end.
using NextBytes = std::function<StatusOr<std::string_view>()>;

// Unpacks what WriteTree writes, as it comes, into an empty folder, owners, times and attributes
// included. Nothing outside of the folder is touched, whatever the tar says, and nothing in it is
// overwritten. `limits` bounds all of it, by what headers declare and by what comes. Reads to the
// end of the bytes. Errors: MALICIOUS_LAYER (absolute names, "..", a name that goes through a link,
// device nodes, FIFOs), CORRUPT_IMAGE (no tar, cut off, a name twice or without its folder),
// IMAGE_TOO_LARGE, DISK_FULL, those of `next`.
Status UnpackTree(const NextBytes& next, const ScanLimits& limits,
                  const std::filesystem::path& rootfs);

}  // namespace claw::image
