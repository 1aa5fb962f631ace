#include "agent/base/unix_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "agent/base/descriptors.h"
#include "agent/base/file.h"
#include "agent/base/unique_fd.h"

namespace claw {
namespace {

StatusOr<bool> AnyoneAnswers(const std::string& path) {
  ASSIGN_OR_RETURN(const UniqueFd socket, MakeUnixSocket(SOCK_STREAM));
  ::fcntl(socket.get(), F_SETFL, O_NONBLOCK);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
    return true;
  }
  if (errno == EAGAIN) return true;  // its queue is full: somebody listens
  if (errno == ECONNREFUSED || errno == ENOENT) return false;
  return ErrnoError(errno, StrCat("connect to ", path));
}

}  // namespace

Status ClearSocketPath(const std::filesystem::path& path) {
  const std::string text = path.string();
  if (text.size() >= sizeof(sockaddr_un::sun_path)) {
    return InvalidArgument("the socket path ", text, " is longer than ",
                           sizeof(sockaddr_un::sun_path) - 1, " bytes");
  }
  RETURN_IF_ERROR(EnsureDirectory(path.parent_path(), 0711));
  struct stat info {};
  if (::lstat(text.c_str(), &info) != 0) {
    return errno == ENOENT ? absl::OkStatus() : ErrnoError(errno, StrCat("look at ", text));
  }
  if (!S_ISSOCK(info.st_mode)) {
    return FailedPrecondition(text, " is there and is not a socket; remove it or choose another");
  }
  ASSIGN_OR_RETURN(const bool answers, AnyoneAnswers(text));
  if (answers) {
    return FailedPrecondition("another process serves on ", text,
                              "; choose another path, or stop that one");
  }
  if (::unlink(text.c_str()) != 0) return ErrnoError(errno, StrCat("remove ", text));
  return absl::OkStatus();
}

}  // namespace claw
