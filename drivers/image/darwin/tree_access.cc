#include "drivers/image/tree_access.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "agent/base/strings.h"

namespace claw::image {

// Nothing resolves links as if the image were all there is: a file behind one is not there.
StatusOr<UniqueFd> OpenInRoot(const std::filesystem::path& rootfs, const char* name) {
  const UniqueFd root(::open(rootfs.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!root.valid()) return ErrnoError(errno, StrCat("open ", rootfs.string()));
  while (*name == '/') ++name;
  UniqueFd fd(
      ::openat(root.get(), name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW_ANY));
  if (fd.valid() || errno == ENOENT || errno == ENOTDIR || errno == ELOOP) return fd;
  return ErrnoError(errno, StrCat("open ", name, " of the image"));
}

// Capabilities are Linux's: nothing runs from a folder of a Mac, and guests look at what they are
// handed themselves.
StatusOr<bool> ClearAttributes(int /*folder*/, const std::string& /*name*/,
                               std::string_view /*path*/) {
  return false;
}

// A Mac's own attributes mean nothing in a guest.
StatusOr<ExtendedAttributes> ReadAttributes(int /*folder*/, const std::string& /*name*/,
                                            std::string_view /*path*/) {
  return ExtendedAttributes();
}

Status WriteAttributes(int /*folder*/, const std::string& /*name*/, std::string_view /*path*/,
                       const ExtendedAttributes& /*attributes*/) {
  return absl::OkStatus();
}

Status SyncFileSystem(int folder) {
  ::sync();
  // It waits for what sync has only begun.
  if (::fcntl(folder, F_FULLFSYNC) == 0 || ::fsync(folder) == 0) return absl::OkStatus();
  return ErrnoError(errno, "sync the file system");
}

}  // namespace claw::image
