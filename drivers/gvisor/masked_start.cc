#include "drivers/gvisor/masked_start.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>

#include <cerrno>

#include "agent/base/strings.h"

namespace claw::drivers {
namespace {

StatusOr<UniqueFd> OpenNamespace(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(errno, StrCat("open ", path));
  return fd;
}

}  // namespace

StatusOr<MaskedStart> MaskedStart::Prepare(pid_t pid) {
  MaskedStart start;
  ASSIGN_OR_RETURN(start.theirs_, OpenNamespace(StrCat("/proc/", pid, "/ns/net")));
  ASSIGN_OR_RETURN(start.ours_, OpenNamespace("/proc/self/ns/net"));
  return start;
}

int MaskedStart::Enter() const {
  if (::unshare(CLONE_NEWNS) != 0) return errno;
  if (::mount("none", "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) return errno;
  if (::setns(theirs_.get(), CLONE_NEWNET) != 0) return errno;
  if (::mount("none", "/proc/sys/net/core", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY,
              "size=4k") != 0) {
    return errno;
  }
  // The sandbox's control socket is an abstract one of our own namespace.
  return ::setns(ours_.get(), CLONE_NEWNET) == 0 ? 0 : errno;
}

}  // namespace claw::drivers
