#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "agent/base/status.h"
#include "drivers/image/layer_scan.h"

struct stat;

namespace claw::image {

struct TreeLimits {
  int64_t max_bytes = 0;  // apparent sizes of files, holes included
  int64_t max_files = 0;
};

struct SanitizedTree {
  int64_t size_bytes = 0;  // blocks on disk, each file once however many links it has
  int64_t dropped_device_nodes = 0;
  int64_t cleared_setuid_bits = 0;
};

// Takes out of an unpacked root file system what a sandbox must not find there: device nodes,
// FIFOs and sockets are removed; setuid and setgid bits, file capabilities (counted with the
// former) and trusted.* attributes (which steer overlayfs) are taken off. Never follows a symbolic
// link and never leaves the folder. Nobody else may write to the tree meanwhile. Running it again
// changes nothing. The root folder itself becomes root's, mode 0755. Errors: IMAGE_TOO_LARGE,
// CORRUPT_IMAGE (nested too deep), those of the disk.
StatusOr<SanitizedTree> Sanitize(const std::filesystem::path& rootfs, const TreeLimits& limits);

// Adds up what copying a folder would make, and stops where a limit of ScanLimits is passed.
// Apparent sizes, so that a sparse file counts as what it claims to be.
Status MeasureTree(const std::filesystem::path& root, const ScanLimits& limits, ScanUsage& usage);

// What stands below a folder, parents first, names of one folder in byte order. `visit` gets the
// descriptor of the folder that the entry is in, its name there, its path below the root, and what
// lstat says; an error stops the walk. It may remove the entry, unless that is a folder.
using Visit = std::function<Status(int folder, const std::string& name, const std::string& path,
                                   const struct stat& info)>;
// What is mounted below the root is visited but not entered.
Status WalkTree(const std::filesystem::path& root, const Visit& visit);

}  // namespace claw::image
