#include "agent/rpc/program_input.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace claw::rpc {
namespace {

constexpr size_t kMaxPacketBytes = 8 << 10;
constexpr int kMaxTerminalSide = 65535;

bool IsSocket(int fd) {
  int type = 0;
  socklen_t size = sizeof(type);
  return ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
}

ssize_t WriteSome(int fd, std::string_view data) {
  const ssize_t sent = ::send(fd, data.data(), data.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  return sent < 0 && errno == ENOTSOCK ? ::write(fd, data.data(), data.size()) : sent;
}

// EIO: a terminal of which the other end has been closed.
bool MeansNobodyReads(int error) {
  return error == EPIPE || error == ECONNRESET || error == EIO || error == ENOTCONN;
}

}  // namespace

Status CheckTerminalSize(const node::v1::TerminalSize& size) {
  const auto sane = [](int side) { return side >= 1 && side <= kMaxTerminalSide; };
  if (sane(size.rows()) && sane(size.columns())) return absl::OkStatus();
  return BadField("resize", StrCat("is not 1 to ", kMaxTerminalSide, " rows and columns"));
}

Task<StatusOr<bool>> WriteAll(FdWaiter& waiter, int fd, std::string data) {
  std::string_view rest = data;
  while (!rest.empty()) {
    const ssize_t written = WriteSome(fd, rest.substr(0, kMaxPacketBytes));
    if (written >= 0) {
      rest.remove_prefix(static_cast<size_t>(written));
    } else if (errno == EAGAIN) {
      const bool ready = co_await waiter.Writable();
      if (!ready) co_return CallerGone();
    } else if (MeansNobodyReads(errno)) {
      co_return false;
    } else if (errno != EINTR) {
      co_return ErrnoError(errno, "write to the program");
    }
  }
  co_return true;
}

SandboxInput::SandboxInput(const Context& context, std::string id, TaskGroup& group)
    : context_(context), id_(std::move(id)), group_(group) {}

Task<Status> SandboxInput::Write(std::string data) {
  if (closed_) co_return BadField("stdin_data", "came after the end of the input");
  CO_RETURN_IF_ERROR(co_await Open());
  auto read = co_await WriteAll(*waiter_, fd_.get(), std::move(data));
  co_return read.status();
}

Task<Status> SandboxInput::Close() {
  if (closed_) co_return absl::OkStatus();
  CO_RETURN_IF_ERROR(co_await Open());
  closed_ = true;
  if (::shutdown(fd_.get(), SHUT_WR) == 0 || errno != ENOTSOCK) co_return absl::OkStatus();
  waiter_.reset();
  fd_.reset();
  co_return absl::OkStatus();
}

Task<Status> SandboxInput::Resize(int rows, int columns) {
  co_return co_await context_.node.ResizeTerminal(id_, rows, columns);
}

Task<Status> SandboxInput::Open() {
  if (fd_.valid()) co_return absl::OkStatus();
  auto fd = co_await context_.node.OpenInput(id_);
  if (!fd.ok()) co_return fd.status();
  auto waiter = FdWaiter::Make(context_.strand, fd->get());
  if (!waiter.ok()) co_return waiter.status();
  fd_ = *std::move(fd);
  waiter_.emplace(*std::move(waiter));
  ::fcntl(fd_.get(), F_SETFL, ::fcntl(fd_.get(), F_GETFL) | O_NONBLOCK);
  if (IsSocket(fd_.get())) group_.Spawn([this] { return Discard(); });
  co_return absl::OkStatus();
}

// The supervisor sends the program's output to everyone connected. It comes from the log already;
// left unread it would stop the supervisor.
Task<Status> SandboxInput::Discard() {
  std::array<char, 16 << 10> buffer;
  for (;;) {
    const ssize_t got = ::recv(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) co_return absl::OkStatus();
    if (got < 0 && errno == EAGAIN) {
      const bool ready = co_await waiter_->Readable();
      if (!ready) co_return absl::OkStatus();
    }
  }
}

}  // namespace claw::rpc
