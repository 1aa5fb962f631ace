#include "agent/base/descriptors.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace claw {
namespace {

// Another thread may start a program between the two calls; Spawn hands on nothing that it was not
// told to, whether it is marked or not.
void MarkCloseOnExec(int fd) { ::fcntl(fd, F_SETFD, FD_CLOEXEC); }

}  // namespace

StatusOr<std::pair<UniqueFd, UniqueFd>> MakePipe() {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) return ErrnoError(errno, "pipe");
  for (const int end : ends) MarkCloseOnExec(end);
  return std::make_pair(UniqueFd(ends[0]), UniqueFd(ends[1]));
}

StatusOr<UniqueFd> MakeUnixSocket(int type) {
  UniqueFd socket(::socket(AF_UNIX, type, 0));
  if (!socket.valid()) return ErrnoError(errno, "make a socket");
  MarkCloseOnExec(socket.get());
  return socket;
}

// fsync leaves data in the disk's cache, where a power cut finds them; some file systems have
// nothing better.
int SyncData(int fd) { return ::fcntl(fd, F_FULLFSYNC) == 0 ? 0 : ::fsync(fd); }

StatusOr<uid_t> PeerUser(int socket) {
  uid_t user = 0;
  gid_t group = 0;
  if (::getpeereid(socket, &user, &group) != 0) return ErrnoError(errno, "ask who has connected");
  return user;
}

int64_t ChangeTimeNs(const struct stat& info) {
  return int64_t{info.st_ctimespec.tv_sec} * 1'000'000'000 + info.st_ctimespec.tv_nsec;
}

}  // namespace claw
