#include "drivers/image/tree_digest.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>

#include "agent/base/digest.h"
#include "agent/base/unique_fd.h"
#include "drivers/image/errors.h"
#include "drivers/image/sanitize.h"

namespace claw::image {
namespace {

Status HashFile(int folder, const std::string& name, Sha256& hash) {
  const UniqueFd fd(::openat(folder, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(errno, StrCat("open ", Printable(name)));
  std::array<char, 65536> buffer;
  while (true) {
    const ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoError(errno, StrCat("read ", Printable(name)));
    if (got == 0) return absl::OkStatus();
    hash.Update({buffer.data(), static_cast<size_t>(got)});
  }
}

Status HashLink(int folder, const std::string& name, Sha256& hash) {
  std::array<char, PATH_MAX> target;
  const ssize_t size = ::readlinkat(folder, name.c_str(), target.data(), target.size());
  if (size < 0) return ErrnoError(errno, StrCat("read link ", Printable(name)));
  hash.Update(StrCat(size, " "));
  hash.Update({target.data(), static_cast<size_t>(size)});
  return absl::OkStatus();
}

}  // namespace

StatusOr<std::string> TreeDigest(const std::filesystem::path& root) {
  Sha256 hash;
  hash.Update("clawlet tree 1\n");
  RETURN_IF_ERROR(WalkTree(root, [&hash](int folder, const std::string& name,
                                         const std::string& path, const struct stat& info) {
    hash.Update(StrCat(info.st_mode, " ", info.st_uid, " ", info.st_gid, " ", path.size(), " ",
                       path, "\n"));
    if (S_ISLNK(info.st_mode)) return HashLink(folder, name, hash);
    if (!S_ISREG(info.st_mode)) return absl::OkStatus();
    hash.Update(StrCat(info.st_size, " "));
    return HashFile(folder, name, hash);
  }));
  return hash.Finish();
}

}  // namespace claw::image
