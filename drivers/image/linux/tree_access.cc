#include "drivers/image/tree_access.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>

#include "agent/base/strings.h"
#include "drivers/image/errors.h"

namespace claw::image {
namespace {

Status AttributeError(std::string_view doing, std::string_view path) {
  const int error = errno;
  return ErrnoError(error, StrCat(doing, " of ", Printable(path, 200), " in the image"));
}

// Through /proc, as there is no llistxattrat: only the last component is not followed, and the
// ones before it are the descriptor's.
std::string FileOf(int folder, const std::string& name) {
  return StrCat("/proc/self/fd/", folder, "/", name);
}

// The names, each with a NUL behind it.
StatusOr<std::string> ListAttributes(const std::string& file, std::string_view path) {
  const ssize_t size = ::llistxattr(file.c_str(), nullptr, 0);
  if (size == 0 || (size < 0 && errno == ENOTSUP)) return std::string();
  if (size < 0) return AttributeError("list attributes", path);
  std::string list(static_cast<size_t>(size), '\0');
  const ssize_t got = ::llistxattr(file.c_str(), list.data(), list.size());
  if (got < 0) return AttributeError("list attributes", path);
  list.resize(static_cast<size_t>(got));
  return list;
}

}  // namespace

StatusOr<UniqueFd> OpenInRoot(const std::filesystem::path& rootfs, const char* name) {
  const UniqueFd root(::open(rootfs.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!root.valid()) return ErrnoError(errno, StrCat("open ", rootfs.string()));
  open_how how{};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  UniqueFd fd(static_cast<int>(::syscall(SYS_openat2, root.get(), name, &how, sizeof(how))));
  if (fd.valid() || errno == ENOENT || errno == ENOTDIR || errno == ELOOP) return fd;
  return ErrnoError(errno, StrCat("open ", name, " of the image"));
}

StatusOr<bool> ClearAttributes(int folder, const std::string& name, std::string_view path) {
  const std::string file = FileOf(folder, name);
  ASSIGN_OR_RETURN(const std::string list, ListAttributes(file, path));
  bool had_capabilities = false;
  for (const std::string_view attribute : Split(list, '\0', true)) {
    const bool capability = attribute == "security.capability";
    if (!capability && !attribute.starts_with("trusted.")) continue;
    if (::lremovexattr(file.c_str(), std::string(attribute).c_str()) != 0) {
      return AttributeError("remove an attribute", path);
    }
    had_capabilities = had_capabilities || capability;
  }
  return had_capabilities;
}

StatusOr<ExtendedAttributes> ReadAttributes(int folder, const std::string& name,
                                            std::string_view path) {
  const std::string file = FileOf(folder, name);
  ASSIGN_OR_RETURN(const std::string list, ListAttributes(file, path));
  ExtendedAttributes attributes;
  for (const std::string_view each : Split(list, '\0', true)) {
    if (each.starts_with("security.") || each.starts_with("trusted.")) continue;
    std::string attribute(each);
    std::string value(XATTR_SIZE_MAX, '\0');
    const ssize_t length = ::lgetxattr(file.c_str(), attribute.c_str(), value.data(), value.size());
    if (length < 0) return AttributeError("read an attribute", path);
    value.resize(static_cast<size_t>(length));
    attributes.emplace_back(std::move(attribute), std::move(value));
  }
  return attributes;
}

Status WriteAttributes(int folder, const std::string& name, std::string_view path,
                       const ExtendedAttributes& attributes) {
  const std::string file = FileOf(folder, name);
  for (const auto& [attribute, value] : attributes) {
    if (::lsetxattr(file.c_str(), attribute.c_str(), value.data(), value.size(), 0) == 0) continue;
    if (errno == ENOSPC || errno == EDQUOT) return DiskFull("no space for attributes", 0, 0);
    return AttributeError(StrCat("set ", Printable(attribute, 100)), path);
  }
  return absl::OkStatus();
}

Status SyncFileSystem(int folder) {
  return ::syncfs(folder) == 0 ? absl::OkStatus() : ErrnoError(errno, "sync the file system");
}

}  // namespace claw::image
