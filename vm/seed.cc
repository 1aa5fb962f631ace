#include "vm/seed.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>

#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "agent/base/unique_fd.h"

namespace claw::vm {
namespace {

struct FreeArchive {
  void operator()(archive* value) const { archive_write_free(value); }
};
struct FreeEntry {
  void operator()(archive_entry* value) const { archive_entry_free(value); }
};

// A disk has whole sectors, and QEMU's are at most so large.
constexpr size_t kSectorBytes = 4096;

la_ssize_t Append(archive* /*archive*/, void* text, const void* data, size_t size) {
  static_cast<std::string*>(text)->append(static_cast<const char*>(data), size);
  return static_cast<la_ssize_t>(size);
}

Status Failed(archive* tar, std::string_view doing) {
  const char* why = archive_error_string(tar);
  return Internal(doing, ": ", why == nullptr ? "libarchive does not say why" : why);
}

StatusOr<std::string> Tar(const std::vector<SeedFile>& files) {
  std::string text;
  const std::unique_ptr<archive, FreeArchive> tar(archive_write_new());
  archive_write_set_format_ustar(tar.get());
  if (archive_write_open(tar.get(), &text, nullptr, Append, nullptr) != ARCHIVE_OK) {
    return Failed(tar.get(), "begin a tar");
  }
  for (const SeedFile& file : files) {
    const std::unique_ptr<archive_entry, FreeEntry> entry(archive_entry_new());
    archive_entry_set_pathname(entry.get(), file.name.c_str());
    archive_entry_set_size(entry.get(), static_cast<la_int64_t>(file.content.size()));
    archive_entry_set_filetype(entry.get(), AE_IFREG);
    archive_entry_set_perm(entry.get(), 0600);
    const bool written = archive_write_header(tar.get(), entry.get()) == ARCHIVE_OK &&
                         archive_write_data(tar.get(), file.content.data(), file.content.size()) ==
                             static_cast<la_ssize_t>(file.content.size());
    if (!written) return Failed(tar.get(), StrCat("add ", file.name, " to a tar"));
  }
  if (archive_write_close(tar.get()) != ARCHIVE_OK) return Failed(tar.get(), "end a tar");
  text.resize((text.size() + kSectorBytes - 1) / kSectorBytes * kSectorBytes, '\0');
  return text;
}

}  // namespace

Status WriteSeed(const std::filesystem::path& path, const std::vector<SeedFile>& files) {
  ASSIGN_OR_RETURN(const std::string tar, Tar(files));
  return WriteFileAtomic(path, tar, 0600);
}

Status MakeStateDisk(const std::filesystem::path& path, int64_t bytes) {
  const UniqueFd disk(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!disk.valid()) return ErrnoError(errno, StrCat("open ", path.string()));
  struct stat info {};
  if (::fstat(disk.get(), &info) != 0) return ErrnoError(errno, StrCat("look at ", path.string()));
  if (info.st_size >= bytes) return absl::OkStatus();
  if (::ftruncate(disk.get(), bytes) == 0) return absl::OkStatus();
  return ErrnoError(errno, StrCat("make ", path.string(), " ", bytes, " bytes long"));
}

}  // namespace claw::vm
