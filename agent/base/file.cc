#include "agent/base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "agent/base/bytes.h"
#include "agent/base/descriptors.h"
#include "agent/base/id.h"

namespace claw {
namespace fs = std::filesystem;
namespace {

Status WriteAll(int fd, std::string_view data, const fs::path& path) {
  while (!data.empty()) {
    const ssize_t written = ::write(fd, data.data(), data.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return ErrnoError(errno, StrCat("write ", path.string()));
    data.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

Status SyncParent(const fs::path& path) {
  const UniqueFd dir(::open(path.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir.valid() || ::fsync(dir.get()) != 0) {
    return ErrnoError(errno, StrCat("sync ", path.parent_path().string()));
  }
  return absl::OkStatus();
}

}  // namespace

StatusOr<std::string> ReadFile(const fs::path& path, int64_t max_bytes) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(errno, StrCat("open ", path.string()));
  std::string content;
  std::array<char, 16384> buffer;
  while (true) {
    const ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoError(errno, StrCat("read ", path.string()));
    if (got == 0) return content;
    content.append(buffer.data(), static_cast<size_t>(got));
    if (static_cast<int64_t>(content.size()) > max_bytes) {
      return MakeError(StatusCode::kResourceExhausted,
                       StrCat("read ", path.string(), ": longer than ", max_bytes, " bytes"),
                       {.reason = "FILE_TOO_LARGE",
                        .constraint = path.string(),
                        .available = StrCat(max_bytes, " bytes")});
    }
  }
}

Status WriteExisting(const fs::path& path, std::string_view data) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(errno, StrCat("open ", path.string()));
  const ssize_t written = ::write(fd.get(), data.data(), data.size());
  if (written < 0) {
    return ErrnoError(errno, StrCat("write '", data, "' to ", path.string()));
  }
  if (static_cast<size_t>(written) != data.size()) {
    return Internal("write '", data, "' to ", path.string(), ": only ", written, " bytes taken");
  }
  return absl::OkStatus();
}

Status WriteFileAtomic(const fs::path& path, std::string_view data, mode_t mode, bool durable) {
  fs::path temporary = path;
  temporary += StrCat(".tmp", RandomHex(16));
  Status status = [&]() -> Status {
    const UniqueFd fd(
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode));
    if (!fd.valid()) return ErrnoError(errno, StrCat("create ", temporary.string()));
    RETURN_IF_ERROR(WriteAll(fd.get(), data, temporary));
    if (durable && SyncData(fd.get()) != 0) {
      return ErrnoError(errno, StrCat("sync ", temporary.string()));
    }
    if (::rename(temporary.c_str(), path.c_str()) != 0) {
      return ErrnoError(errno, StrCat("rename to ", path.string()));
    }
    return durable ? SyncParent(path) : absl::OkStatus();
  }();
  if (!status.ok()) ::unlink(temporary.c_str());
  return status;
}

Status EnsureDirectory(const fs::path& path, mode_t mode) {
  if (::mkdir(path.c_str(), mode) == 0) return absl::OkStatus();
  if (errno == EEXIST) {
    struct stat info {};
    if (::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return absl::OkStatus();
    return FailedPrecondition(path.string(), " exists and is not a folder");
  }
  if (errno != ENOENT || !path.has_parent_path() || path.parent_path() == path) {
    return ErrnoError(errno, StrCat("mkdir ", path.string()));
  }
  RETURN_IF_ERROR(EnsureDirectory(path.parent_path(), 0755));
  if (::mkdir(path.c_str(), mode) == 0 || errno == EEXIST) return absl::OkStatus();
  return ErrnoError(errno, StrCat("mkdir ", path.string()));
}

Status RemoveTree(const fs::path& path) {
  // std::filesystem::remove_all works on directory descriptors and unlinks symbolic links.
  std::error_code error;
  fs::remove_all(path, error);
  if (error && error != std::errc::no_such_file_or_directory) {
    return ErrnoError(error.value(), StrCat("remove ", path.string()));
  }
  return absl::OkStatus();
}

StatusOr<std::vector<std::string>> ListDirectory(const fs::path& path) {
  std::error_code error;
  std::vector<std::string> names;
  for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  if (error) return ErrnoError(error.value(), StrCat("list ", path.string()));
  std::sort(names.begin(), names.end());
  return names;
}

StatusOr<FileIdentity> IdentifyFile(const std::filesystem::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return ErrnoError(errno, StrCat("stat ", path.string()));
  return FileIdentity{.device = info.st_dev,
                      .inode = info.st_ino,
                      .size_bytes = info.st_size,
                      .changed_ns = ChangeTimeNs(info)};
}

StatusOr<int64_t> FreeDiskBytes(const fs::path& path) {
  struct statvfs info {};
  if (::statvfs(path.c_str(), &info) != 0) {
    return ErrnoError(errno, StrCat("statvfs ", path.string()));
  }
  return SaturatingMul(static_cast<int64_t>(info.f_bavail), static_cast<int64_t>(info.f_frsize));
}

}  // namespace claw
