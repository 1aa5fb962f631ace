#include "tools/clawctl/terminal.h"

#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace claw::ctl {

RawMode::RawMode(int fd) : fd_(fd) {
  termios mode{};
  if (::tcgetattr(fd, &mode) != 0) return;
  saved_ = mode;
  ::cfmakeraw(&mode);
  ::tcsetattr(fd, TCSADRAIN, &mode);
}

void RawMode::Restore() {
  if (saved_) ::tcsetattr(fd_, TCSADRAIN, &*saved_);
  saved_.reset();
}

std::optional<claw::node::v1::TerminalSize> TerminalSizeOf(int fd) {
  winsize window{};
  if (::ioctl(fd, TIOCGWINSZ, &window) != 0) return std::nullopt;
  if (window.ws_row == 0 || window.ws_col == 0) return std::nullopt;
  claw::node::v1::TerminalSize size;
  size.set_rows(window.ws_row);
  size.set_columns(window.ws_col);
  return size;
}

StatusOr<SignalReader> SignalReader::Make(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  sigset_t old_mask;
  if (const int error = ::pthread_sigmask(SIG_BLOCK, &set, &old_mask); error != 0) {
    return ErrnoError(error, "blocking signals");
  }
  UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) {
    const int error = errno;
    ::pthread_sigmask(SIG_SETMASK, &old_mask, nullptr);
    return ErrnoError(error, "opening a descriptor for signals");
  }
  return SignalReader(std::move(fd), old_mask);
}

SignalReader::~SignalReader() {
  if (fd_.valid()) ::pthread_sigmask(SIG_SETMASK, &old_mask_, nullptr);
}

int SignalReader::Next() {
  signalfd_siginfo info{};
  const ssize_t n = ::read(fd_.get(), &info, sizeof(info));
  return n == static_cast<ssize_t>(sizeof(info)) ? static_cast<int>(info.ssi_signo) : 0;
}

Wakeup::Wakeup() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

void Wakeup::Set() { ::eventfd_write(fd_.get(), 1); }

void Wakeup::Clear() {
  eventfd_t value = 0;
  ::eventfd_read(fd_.get(), &value);
}

}  // namespace claw::ctl
