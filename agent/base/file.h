#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/status.h"
#include "agent/base/unique_fd.h"

namespace claw {

// Small helpers over POSIX files that answer with a Status. All of them may block on the disk.

// The whole content of a file. Errors: NOT_FOUND; RESOURCE_EXHAUSTED if it is longer than
// max_bytes. Reads files of /proc and cgroups as well (their size is not known before).
StatusOr<std::string> ReadFile(const std::filesystem::path& path, int64_t max_bytes = 16 << 20);

// Writes to a file that exists already, in one write(2), and does not truncate it: for cgroup
// files.
Status WriteExisting(const std::filesystem::path& path, std::string_view data);

// Puts a file in place whole or not at all: temporary file beside it, fsync if durable, rename.
Status WriteFileAtomic(const std::filesystem::path& path, std::string_view data, mode_t mode = 0600,
                       bool durable = false);

// mkdir -p; sets the mode of the last folder if it was made here.
Status EnsureDirectory(const std::filesystem::path& path, mode_t mode = 0700);

// rm -rf that never follows a symbolic link. Nothing there: OK.
Status RemoveTree(const std::filesystem::path& path);

// The names in a folder, sorted, without . and .. (NOT_FOUND if there is no such folder).
StatusOr<std::vector<std::string>> ListDirectory(const std::filesystem::path& path);

// Tells a file from another one that has taken its place, and from itself with other content.
struct FileIdentity {
  dev_t device = 0;
  ino_t inode = 0;
  int64_t size_bytes = 0;
  int64_t changed_ns = 0;  // ctime: no program can set it back

  bool operator==(const FileIdentity&) const = default;
};
// Follows symbolic links. NOT_FOUND.
StatusOr<FileIdentity> IdentifyFile(const std::filesystem::path& path);

// Bytes that are free to this process on the file system of `path`.
StatusOr<int64_t> FreeDiskBytes(const std::filesystem::path& path);

}  // namespace claw
