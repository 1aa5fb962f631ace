#pragma once

#include <filesystem>

#include "agent/base/status.h"
#include "drivers/image/guarded_run.h"

namespace claw::image {

// Unpacks a layout that CheckLayers has passed into `rootfs`, which must not exist; its parent must
// hold nothing else. umoci resolves every name within the root folder, so that no entry and no link
// leads out of it. Errors: MALICIOUS_LAYER, CORRUPT_IMAGE, IMAGE_TOO_LARGE, DISK_FULL.
Status UnpackLayout(const std::filesystem::path& layout, const std::filesystem::path& rootfs,
                    const std::filesystem::path& home, const Guard& guard);

// Copies a folder as it is (owners, modes, links, attributes, holes), sharing blocks where the file
// system can, and without going into other file systems that are mounted below it. Errors:
// NOT_FOUND (IMAGE_NOT_FOUND), DISK_FULL, IMAGE_TOO_LARGE.
Status CopyFolder(const std::filesystem::path& source, const std::filesystem::path& rootfs,
                  const Guard& guard);

// rm -rf that copes with trees of any depth, too. Nothing there: OK.
Status RemoveWhole(const std::filesystem::path& path);

}  // namespace claw::image
