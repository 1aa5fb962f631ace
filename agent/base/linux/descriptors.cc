#include "agent/base/descriptors.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace claw {

StatusOr<std::pair<UniqueFd, UniqueFd>> MakePipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return ErrnoError(errno, "pipe");
  return std::make_pair(UniqueFd(ends[0]), UniqueFd(ends[1]));
}

StatusOr<UniqueFd> MakeUnixSocket(int type) {
  UniqueFd socket(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return ErrnoError(errno, "make a socket");
  return socket;
}

int SyncData(int fd) { return ::fdatasync(fd); }

StatusOr<uid_t> PeerUser(int socket) {
  ucred credentials{};
  socklen_t size = sizeof(credentials);
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return ErrnoError(errno, "ask who has connected");
  }
  return credentials.uid;
}

int64_t ChangeTimeNs(const struct stat& info) {
  return int64_t{info.st_ctim.tv_sec} * 1'000'000'000 + info.st_ctim.tv_nsec;
}

}  // namespace claw
