#include "agent/host/room.h"

#include <sys/statvfs.h>
#include <sys/sysctl.h>

#include <algorithm>
#include <cerrno>

#include "agent/base/bytes.h"
#include "agent/base/strings.h"

namespace claw::host {

StatusOr<HostRoom> ReadRoom(const std::filesystem::path& folder) {
  struct statvfs disk {};
  if (::statvfs(folder.c_str(), &disk) != 0)
    return ErrnoError(errno, StrCat("ask ", folder.string()));
  int most = 0;
  size_t size = sizeof(most);
  if (::sysctlbyname("kern.maxproc", &most, &size, nullptr, 0) != 0) {
    return ErrnoError(errno, "kern.maxproc");
  }
  // Sandboxes live in guests, whose tasks are the guest's: the whole bound is the host's own.
  return HostRoom{.free_disk_bytes = SaturatingMul(static_cast<int64_t>(disk.f_bavail),
                                                   static_cast<int64_t>(disk.f_frsize)),
                  .free_tasks = most};
}

}  // namespace claw::host
