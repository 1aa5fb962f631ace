#include "drivers/image/tree_untar.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/unique_fd.h"
#include "drivers/image/libarchive.h"
#include "drivers/image/tree_access.h"

namespace claw::image {
namespace {

// libarchive takes a tar that was cut off between two entries for a whole one.
constexpr size_t kEndBytes = 1024;

Status DiskError(std::string_view doing, std::string_view path) {
  const int error = errno;
  const std::string shown = StrCat(doing, " ", Printable(path, 200), " of the image");
  if (error != ENOSPC && error != EDQUOT) return ErrnoError(error, shown);
  return DiskFull(StrCat("the disk is full: ", shown), 0, 0);
}

// What an entry has beside its content.
struct Attributes {
  std::string path;
  uid_t uid = 0;
  gid_t gid = 0;
  mode_t mode = 0;
  timespec mtime{};
  ExtendedAttributes extended;
};

Attributes AttributesOf(archive_entry* entry, std::string path) {
  Attributes attributes;
  attributes.path = std::move(path);
  attributes.uid = static_cast<uid_t>(archive_entry_uid(entry));
  attributes.gid = static_cast<gid_t>(archive_entry_gid(entry));
  attributes.mode = archive_entry_perm(entry) & 07777;
  attributes.mtime.tv_sec = archive_entry_mtime(entry);
  attributes.mtime.tv_nsec = archive_entry_mtime_nsec(entry);
  const char* name = nullptr;
  const void* value = nullptr;
  size_t size = 0;
  archive_entry_xattr_reset(entry);
  while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
    attributes.extended.emplace_back(name, std::string(static_cast<const char*>(value), size));
  }
  return attributes;
}

// Of a file or folder that is open, and is `name` in another; the owner first, as a change of it
// takes bits off the mode.
Status Apply(int fd, int folder, const std::string& name, const Attributes& attributes) {
  const std::string& path = attributes.path;
  if (::fchown(fd, attributes.uid, attributes.gid) != 0) return DiskError("own", path);
  if (::fchmod(fd, attributes.mode) != 0) return DiskError("set the mode of", path);
  RETURN_IF_ERROR(WriteAttributes(folder, name, path, attributes.extended));
  const timespec times[2] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT}, attributes.mtime};
  return ::futimens(fd, times) == 0 ? absl::OkStatus() : DiskError("set the time of", path);
}

class TreeUnpacker {
 public:
  TreeUnpacker(const NextBytes& next, const ScanLimits& limits)
      : next_(next), limits_(limits), tar_(archive_read_new()) {}

  Status Run(const std::filesystem::path& rootfs) {
    root_.reset(::open(rootfs.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!root_.valid()) return ErrnoError(errno, StrCat("open ", rootfs.string()));
    archive_read_support_format_tar(tar_.get());
    archive_read_set_option(tar_.get(), "tar", "hdrcharset", "BINARY");
    if (archive_read_open(tar_.get(), this, nullptr, &Read, nullptr) != ARCHIVE_OK) return Failed();
    while (true) {
      archive_entry* entry = nullptr;
      const int result = archive_read_next_header(tar_.get(), &entry);
      if (result == ARCHIVE_EOF) break;
      if (result != ARCHIVE_OK && result != ARCHIVE_WARN) return Failed();
      RETURN_IF_ERROR(Unpack(entry));
    }
    RETURN_IF_ERROR(FinishFolders());
    while (!ended_) RETURN_IF_ERROR(Next().status());
    if (zeros_ >= kEndBytes) return absl::OkStatus();
    return CorruptImage("no whole tar: its end is missing");
  }

 private:
  static Status CheckName(std::string_view name) {
    if (name.starts_with('/')) {
      return MaliciousLayer(StrCat("an absolute name: ", Printable(name, 120)));
    }
    return CheckEntryName(name);
  }

  Status Unpack(archive_entry* entry) {
    const std::string_view name = PathOf(entry);
    RETURN_IF_ERROR(CheckName(name));
    std::vector<std::string> parts = PartsOf(name);
    if (parts.empty()) return CorruptImage("an entry without a name");
    const std::string leaf = std::move(parts.back());
    parts.pop_back();
    ASSIGN_OR_RETURN(const int parent, OpenFolder(parts));
    const std::string path(name);
    if (const std::string_view target = HardlinkOf(entry); !target.empty()) {
      return Link(target, parent, leaf, path);
    }
    const bool has_data = archive_entry_filetype(entry) == AE_IFREG;
    const int64_t size = has_data ? archive_entry_size(entry) : 0;
    if (size < 0) return CorruptImage("an entry of negative size");
    RETURN_IF_ERROR(AddEntry(size, limits_, usage_));
    switch (archive_entry_filetype(entry)) {
      case AE_IFDIR:
        if (::mkdirat(parent, leaf.c_str(), 0700) != 0) return MakeFailed("make the folder", path);
        folders_.push_back(AttributesOf(entry, path));
        return absl::OkStatus();
      case AE_IFREG:
        return WriteFile(entry, size, parent, leaf, path);
      case AE_IFLNK:
        return MakeSymlink(entry, parent, leaf, path);
      default:
        return MaliciousLayer(StrCat("a device or a pipe: ", Printable(path, 120)));
    }
  }

  static std::vector<std::string> PartsOf(std::string_view name) {
    std::vector<std::string> parts;
    for (const std::string_view part : Split(name, '/', true)) {
      if (part != ".") parts.emplace_back(part);
    }
    return parts;
  }

  // Folder by folder, through no link. The last one stays open: its neighbours come next.
  StatusOr<int> OpenFolder(const std::vector<std::string>& parts) {
    if (parts.empty()) return root_.get();
    if (folder_.valid() && parts == folder_parts_) return folder_.get();
    UniqueFd at;
    for (const std::string& part : parts) {
      const int above = at.valid() ? at.get() : root_.get();
      UniqueFd below(
          ::openat(above, part.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!below.valid()) return ParentFailed(above, part);
      at = std::move(below);
    }
    folder_ = std::move(at);
    folder_parts_ = parts;
    return folder_.get();
  }

  static Status ParentFailed(int above, const std::string& part) {
    const int error = errno;
    struct stat info {};
    const bool there = ::fstatat(above, part.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0;
    if (there && S_ISLNK(info.st_mode)) {
      return MaliciousLayer(StrCat("a name goes through the link ", Printable(part, 120)));
    }
    if (error == ENOENT || error == ENOTDIR) {
      return CorruptImage(StrCat("there is no folder ", Printable(part, 120)));
    }
    return ErrnoError(error, StrCat("open ", Printable(part, 120)));
  }

  static Status MakeFailed(std::string_view doing, const std::string& path) {
    if (errno == EEXIST) return CorruptImage(StrCat("there twice: ", Printable(path, 120)));
    return DiskError(doing, path);
  }

  Status Link(std::string_view target, int parent, const std::string& leaf,
              const std::string& path) {
    RETURN_IF_ERROR(Annotate(CheckName(target), "target of a hard link"));
    RETURN_IF_ERROR(AddEntry(0, limits_, usage_));
    std::vector<std::string> parts = PartsOf(target);
    if (parts.empty()) return MaliciousLayer("a hard link to the root");
    const std::string name = std::move(parts.back());
    parts.pop_back();
    // Opening the target's folder may close the entry's.
    const UniqueFd to(::fcntl(parent, F_DUPFD_CLOEXEC, 0));
    if (!to.valid()) return DiskError("link", path);
    ASSIGN_OR_RETURN(const int from, OpenFolder(parts));
    if (::linkat(from, name.c_str(), to.get(), leaf.c_str(), 0) == 0) return absl::OkStatus();
    if (errno == ENOENT || errno == EPERM) {
      return CorruptImage(StrCat("a hard link to nothing: ", Printable(path, 120)));
    }
    return MakeFailed("link", path);
  }

  static Status MakeSymlink(archive_entry* entry, int parent, const std::string& leaf,
                            const std::string& path) {
    const std::string_view target =
        NameOf(archive_entry_symlink(entry), archive_entry_symlink_utf8(entry));
    if (::symlinkat(std::string(target).c_str(), parent, leaf.c_str()) != 0) {
      return MakeFailed("make the link", path);
    }
    const Attributes attributes = AttributesOf(entry, path);
    if (::fchownat(parent, leaf.c_str(), attributes.uid, attributes.gid, AT_SYMLINK_NOFOLLOW) !=
        0) {
      return DiskError("own", path);
    }
    RETURN_IF_ERROR(WriteAttributes(parent, leaf, path, attributes.extended));
    const timespec times[2] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT}, attributes.mtime};
    if (::utimensat(parent, leaf.c_str(), times, AT_SYMLINK_NOFOLLOW) == 0) return absl::OkStatus();
    return DiskError("set the time of", path);
  }

  Status WriteFile(archive_entry* entry, int64_t size, int parent, const std::string& leaf,
                   const std::string& path) {
    const UniqueFd fd(
        ::openat(parent, leaf.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!fd.valid()) return MakeFailed("make", path);
    const Attributes attributes = AttributesOf(entry, path);
    while (true) {
      const void* data = nullptr;
      size_t bytes = 0;
      la_int64_t offset = 0;
      const int result = archive_read_data_block(tar_.get(), &data, &bytes, &offset);
      if (result == ARCHIVE_EOF) break;
      if (result != ARCHIVE_OK) return Failed();
      if (offset < 0 || offset > size || static_cast<int64_t>(bytes) > size - offset) {
        return CorruptImage(StrCat("longer than it says: ", Printable(path, 120)));
      }
      RETURN_IF_ERROR(WriteAt(fd.get(), {static_cast<const char*>(data), bytes}, offset, path));
    }
    if (::ftruncate(fd.get(), size) != 0) return DiskError("write", path);  // a hole at its end
    return Apply(fd.get(), parent, leaf, attributes);
  }

  static Status WriteAt(int fd, std::string_view bytes, off_t offset, const std::string& path) {
    while (!bytes.empty()) {
      const ssize_t written = ::pwrite(fd, bytes.data(), bytes.size(), offset);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return DiskError("write", path);
      bytes.remove_prefix(static_cast<size_t>(written));
      offset += written;
    }
    return absl::OkStatus();
  }

  // The innermost first: what is made in a folder changes its time, and may inherit from it.
  Status FinishFolders() {
    for (auto folder = folders_.rbegin(); folder != folders_.rend(); ++folder) {
      ASSIGN_OR_RETURN(const int fd, OpenFolder(PartsOf(folder->path)));
      RETURN_IF_ERROR(Apply(fd, fd, ".", *folder));
    }
    return absl::OkStatus();
  }

  StatusOr<std::string_view> Next() {
    StatusOr<std::string_view> bytes = next_();
    if (!bytes.ok()) failed_ = bytes.status();
    if (!bytes.ok()) return bytes;
    if (bytes->empty()) ended_ = true;
    const size_t last = bytes->find_last_not_of('\0');
    zeros_ = last == bytes->npos ? zeros_ + bytes->size() : bytes->size() - last - 1;
    return bytes;
  }

  Status Failed() {
    if (!failed_.ok()) return failed_;
    return CorruptImage(StrCat("no whole tar: ", ErrorText(tar_.get())));
  }

  static la_ssize_t Read(archive* handle, void* self, const void** data) {
    auto* unpacker = static_cast<TreeUnpacker*>(self);
    if (unpacker->ended_) return 0;
    const StatusOr<std::string_view> bytes = unpacker->Next();
    if (!bytes.ok()) {
      archive_set_error(handle, EIO, "nothing comes");
      return -1;
    }
    *data = bytes->data();
    return static_cast<la_ssize_t>(bytes->size());
  }

  const NextBytes& next_;
  const ScanLimits limits_;
  ScanUsage usage_;
  Status failed_;       // of next_
  bool ended_ = false;  // next_ has said so
  size_t zeros_ = 0;    // at the end of what came so far
  UniqueFd root_;
  UniqueFd folder_;  // below it
  std::vector<std::string> folder_parts_;
  std::vector<Attributes> folders_;
  const ReaderPtr tar_;
};

}  // namespace

Status UnpackTree(const NextBytes& next, const ScanLimits& limits,
                  const std::filesystem::path& rootfs) {
  return TreeUnpacker(next, limits).Run(rootfs);
}

}  // namespace claw::image
