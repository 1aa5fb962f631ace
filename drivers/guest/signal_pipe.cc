#include "drivers/guest/signal_pipe.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace claw::drivers {
namespace {

void SetFlags(int fd, bool blocking) {
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  if (!blocking) ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
}

}  // namespace

StatusOr<SignalPipe> SignalPipe::Make() {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) return ErrnoError(errno, "make a pipe");
  SignalPipe made;
  made.read_.reset(ends[0]);
  made.write_.reset(ends[1]);
  for (const int fd : ends) SetFlags(fd, false);
  return made;
}

void SignalPipe::Set() {
  const char one = 1;
  // Full: it is readable already.
  [[maybe_unused]] const ssize_t ignored = ::write(write_.get(), &one, 1);
}

void SignalPipe::Clear() {
  std::array<char, 256> bytes;
  while (::read(read_.get(), bytes.data(), bytes.size()) > 0) {
  }
}

StatusOr<SocketPair> SocketPair::Make() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) != 0) {
    return ErrnoError(errno, "make a socket pair");
  }
  SocketPair made{UniqueFd(ends[0]), UniqueFd(ends[1])};
  SetFlags(ends[0], false);
  SetFlags(ends[1], true);
  return made;
}

}  // namespace claw::drivers
