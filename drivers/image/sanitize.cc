#include "drivers/image/sanitize.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/base/bytes.h"
#include "agent/base/unique_fd.h"
#include "drivers/image/errors.h"
#include "drivers/image/tree_access.h"

namespace claw::image {
namespace {

namespace fs = std::filesystem;

// One open descriptor a level; symbolic links let a layer nest deeper than its names show.
constexpr int kMaxDepth = 256;
constexpr int64_t kStatBlockBytes = 512;

struct CloseDir {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

Status DiskError(std::string_view doing, std::string_view path) {
  const int error = errno;
  return ErrnoError(error, StrCat(doing, " ", Printable(path, 200), " in the image"));
}

// Takes the descriptor over and gives the names that it lists, sorted.
StatusOr<std::vector<std::string>> Names(int folder, std::string_view path) {
  UniqueFd copy(::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!copy.valid()) return DiskError("open", path);
  const std::unique_ptr<DIR, CloseDir> dir(::fdopendir(copy.get()));
  if (!dir) return DiskError("list", path);
  [[maybe_unused]] const int owned_by_dir = copy.release();
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  if (errno != 0) return DiskError("list", path);
  std::sort(names.begin(), names.end());
  return names;
}

Status Walk(int folder, const std::string& path, int depth, dev_t device, const Visit& visit) {
  if (depth > kMaxDepth) {
    return CorruptImage(StrCat("the image nests folders deeper than ", kMaxDepth));
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> names, Names(folder, path));
  for (const std::string& name : names) {
    const std::string below = path.empty() ? name : StrCat(path, "/", name);
    struct stat info {};
    if (::fstatat(folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
      return DiskError("stat", below);
    }
    RETURN_IF_ERROR(visit(folder, name, below, info));
    if (!S_ISDIR(info.st_mode) || info.st_dev != device) continue;
    const UniqueFd child(
        ::openat(folder, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!child.valid()) return DiskError("open", below);
    RETURN_IF_ERROR(Walk(child.get(), below, depth + 1, device, visit));
  }
  return absl::OkStatus();
}

class Sanitizer {
 public:
  explicit Sanitizer(const TreeLimits& limits) : limits_(limits) {}

  Status Visit(int folder, const std::string& name, const std::string& path,
               const struct stat& info) {
    if (++files_ > limits_.max_files) {
      return ImageTooLarge("max_image_files", files_, limits_.max_files, "files");
    }
    if (!S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode) && !S_ISLNK(info.st_mode)) {
      if (S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode)) ++result_.dropped_device_nodes;
      return ::unlinkat(folder, name.c_str(), 0) == 0 ? absl::OkStatus()
                                                      : DiskError("remove", path);
    }
    RETURN_IF_ERROR(CountBytes(info));
    if (!S_ISLNK(info.st_mode) && (info.st_mode & (S_ISUID | S_ISGID)) != 0) {
      ++result_.cleared_setuid_bits;
      // fchmodat follows links, but this is none, and nobody else writes here.
      if (::fchmodat(folder, name.c_str(), info.st_mode & 01777, 0) != 0) {
        return DiskError("clear setuid of", path);
      }
    }
    return ClearAttributes(folder, name, path);
  }

  [[nodiscard]] const SanitizedTree& result() const { return result_; }

  Status ClearAttributes(int folder, const std::string& name, const std::string& path) {
    ASSIGN_OR_RETURN(const bool had_capabilities, image::ClearAttributes(folder, name, path));
    if (had_capabilities) ++result_.cleared_setuid_bits;
    return absl::OkStatus();
  }

 private:
  Status CountBytes(const struct stat& info) {
    if (info.st_nlink > 1 && !S_ISDIR(info.st_mode) && !seen_.emplace(info.st_ino).second) {
      return absl::OkStatus();
    }
    result_.size_bytes = SaturatingAdd(
        result_.size_bytes, SaturatingMul(static_cast<int64_t>(info.st_blocks), kStatBlockBytes));
    if (S_ISREG(info.st_mode)) {
      apparent_bytes_ = SaturatingAdd(apparent_bytes_, static_cast<int64_t>(info.st_size));
    }
    if (apparent_bytes_ <= limits_.max_bytes) return absl::OkStatus();
    return ImageTooLarge("max_image_bytes", apparent_bytes_, limits_.max_bytes, "bytes");
  }

  TreeLimits limits_;
  SanitizedTree result_;
  int64_t files_ = 0;
  int64_t apparent_bytes_ = 0;
  std::set<ino_t> seen_;  // files with several links
};

}  // namespace

Status WalkTree(const fs::path& root, const Visit& visit) {
  const UniqueFd folder(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat info {};
  if (!folder.valid() || ::fstat(folder.get(), &info) != 0) {
    return ErrnoError(errno, StrCat("open ", root.string()));
  }
  return Walk(folder.get(), "", 0, info.st_dev, visit);
}

StatusOr<SanitizedTree> Sanitize(const fs::path& rootfs, const TreeLimits& limits) {
  const UniqueFd folder(::open(rootfs.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder.valid()) return ErrnoError(errno, StrCat("open ", rootfs.string()));
  if (::fchown(folder.get(), 0, 0) != 0 || ::fchmod(folder.get(), 0755) != 0) {
    return ErrnoError(errno, StrCat("own ", rootfs.string()));
  }
  Sanitizer sanitizer(limits);
  RETURN_IF_ERROR(sanitizer.ClearAttributes(folder.get(), ".", "/"));
  RETURN_IF_ERROR(WalkTree(rootfs, [&sanitizer](int parent, const std::string& name,
                                                const std::string& path, const struct stat& info) {
    return sanitizer.Visit(parent, name, path, info);
  }));
  return sanitizer.result();
}

Status MeasureTree(const fs::path& root, const ScanLimits& limits, ScanUsage& usage) {
  return WalkTree(root, [&](int, const std::string&, const std::string&, const struct stat& info) {
    return AddEntry(S_ISREG(info.st_mode) ? int64_t{info.st_size} : 0, limits, usage);
  });
}

}  // namespace claw::image
