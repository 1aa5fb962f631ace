#include "drivers/image/tree_tar.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <map>
#include <memory>
#include <utility>

#include "agent/base/unique_fd.h"
#include "drivers/image/libarchive.h"
#include "drivers/image/sanitize.h"
#include "drivers/image/tree_access.h"

namespace claw::image {
namespace {

// Gathers what libarchive writes in blocks of 512 bytes.
constexpr size_t kBlockBytes = 256 << 10;

Status DiskError(std::string_view doing, std::string_view path) {
  const int error = errno;
  return ErrnoError(error, StrCat(doing, " ", Printable(path, 200), " of the image"));
}

class TreeWriter {
 public:
  explicit TreeWriter(const TakeBytes& take) : take_(take), tar_(archive_write_new()) {}
  // Half a tar must not get an end.
  ~TreeWriter() {
    if (!closed_) archive_write_fail(tar_.get());
  }
  TreeWriter(const TreeWriter&) = delete;
  TreeWriter& operator=(const TreeWriter&) = delete;

  Status Open() {
    archive_write_set_format_pax(tar_.get());
    // Names stay the bytes that they are, whatever character set the agent runs with.
    archive_write_set_format_option(tar_.get(), "pax", "hdrcharset", "BINARY");
    archive_write_set_bytes_per_block(tar_.get(), kBlockBytes);
    archive_write_set_bytes_in_last_block(tar_.get(), 1);
    return Check(archive_write_open(tar_.get(), this, nullptr, &Take, nullptr), "begin");
  }

  Status Visit(int folder, const std::string& name, const std::string& path,
               const struct stat& info) {
    if (!S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode) && !S_ISLNK(info.st_mode)) {
      return CorruptImage(StrCat("the image has a device or a pipe in it: ", Printable(path, 200)));
    }
    const EntryPtr entry(archive_entry_new());
    archive_entry_copy_stat(entry.get(), &info);
    archive_entry_copy_pathname(entry.get(), path.c_str());
    archive_entry_unset_atime(entry.get());
    archive_entry_unset_ctime(entry.get());
    if (!S_ISDIR(info.st_mode) && info.st_nlink > 1) {
      const auto [first, is_new] = links_.try_emplace({info.st_dev, info.st_ino}, path);
      if (!is_new) {
        archive_entry_copy_hardlink(entry.get(), first->second.c_str());
        archive_entry_unset_size(entry.get());
        return Check(archive_write_header(tar_.get(), entry.get()), path);
      }
    }
    ASSIGN_OR_RETURN(const ExtendedAttributes attributes, ReadAttributes(folder, name, path));
    for (const auto& [attribute, value] : attributes) {
      archive_entry_xattr_add_entry(entry.get(), attribute.c_str(), value.data(), value.size());
    }
    if (S_ISREG(info.st_mode)) return WriteFile(folder, name, path, info.st_size, entry.get());
    archive_entry_set_size(entry.get(), 0);
    if (S_ISLNK(info.st_mode)) RETURN_IF_ERROR(AddTarget(folder, name, path, entry.get()));
    return Check(archive_write_header(tar_.get(), entry.get()), path);
  }

  Status Close() {
    closed_ = true;
    return Check(archive_write_close(tar_.get()), "end");
  }

 private:
  Status AddTarget(int folder, const std::string& name, const std::string& path,
                   archive_entry* entry) {
    std::array<char, PATH_MAX> target;
    const ssize_t size = ::readlinkat(folder, name.c_str(), target.data(), target.size());
    if (size < 0) return DiskError("read the link", path);
    archive_entry_copy_symlink(entry,
                               std::string(target.data(), static_cast<size_t>(size)).c_str());
    return absl::OkStatus();
  }

  Status WriteFile(int folder, const std::string& name, const std::string& path, off_t size,
                   archive_entry* entry) {
    const UniqueFd fd(::openat(folder, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd.valid()) return DiskError("open", path);
    RETURN_IF_ERROR(AddHoles(fd.get(), path, size, entry));
    RETURN_IF_ERROR(Check(archive_write_header(tar_.get(), entry), path));
    // The holes are written, too: libarchive leaves them out by itself.
    for (off_t left = size; left > 0;) {
      const ssize_t got = ::read(fd.get(), buffer_.data(), buffer_.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return DiskError("read", path);
      if (got == 0) return Internal(Printable(path, 200), " of the image became shorter");
      const auto bytes = static_cast<size_t>(std::min<off_t>(got, left));
      if (archive_write_data(tar_.get(), buffer_.data(), bytes) < 0) return Failed(path);
      left -= static_cast<off_t>(bytes);
    }
    return absl::OkStatus();
  }

  // Tells the entry where there is data, if there are holes.
  static Status AddHoles(int fd, const std::string& path, off_t size, archive_entry* entry) {
    bool first = true;
    for (off_t at = 0; at < size;) {
      const off_t data = ::lseek(fd, at, SEEK_DATA);
      if (data < 0 && errno == ENXIO) {  // a hole to the end
        if (first) archive_entry_sparse_add_entry(entry, 0, 0);
        break;
      }
      if (data < 0 && errno == EINVAL) break;  // a file system that knows of none
      const off_t hole = data < 0 ? -1 : ::lseek(fd, data, SEEK_HOLE);
      if (hole < 0) return DiskError("look for holes in", path);
      if (first && data == 0 && hole >= size) break;
      archive_entry_sparse_add_entry(entry, data, hole - data);
      first = false;
      at = hole;
    }
    if (::lseek(fd, 0, SEEK_SET) != 0) return DiskError("read", path);
    return absl::OkStatus();
  }

  Status Check(int result, std::string_view path) {
    return result == ARCHIVE_OK || result == ARCHIVE_WARN ? absl::OkStatus() : Failed(path);
  }

  Status Failed(std::string_view path) {
    if (!taken_.ok()) return taken_;
    return Internal("write ", Printable(path, 200), " of the image: ", ErrorText(tar_.get()));
  }

  static la_ssize_t Take(archive* handle, void* self, const void* data, size_t size) {
    auto* writer = static_cast<TreeWriter*>(self);
    if (writer->taken_.ok()) {
      writer->taken_ = writer->take_({static_cast<const char*>(data), size});
    }
    if (writer->taken_.ok()) return static_cast<la_ssize_t>(size);
    archive_set_error(handle, EIO, "nobody takes it");
    return -1;
  }

  const TakeBytes& take_;
  Status taken_;
  std::map<std::pair<dev_t, ino_t>, std::string> links_;  // files with several names -> the first
  std::array<char, 65536> buffer_{};
  bool closed_ = false;
  const WriterPtr tar_;
};

}  // namespace

Status WriteTree(const std::filesystem::path& rootfs, const TakeBytes& take) {
  const auto writer = std::make_unique<TreeWriter>(take);
  RETURN_IF_ERROR(writer->Open());
  RETURN_IF_ERROR(WalkTree(rootfs, [&writer](int folder, const std::string& name,
                                             const std::string& path, const struct stat& info) {
    return writer->Visit(folder, name, path, info);
  }));
  return writer->Close();
}

}  // namespace claw::image
