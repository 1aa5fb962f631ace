#include "tools/clawctl/terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <utility>

#include "agent/base/descriptors.h"

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

Wakeup::Wakeup() {
  StatusOr<std::pair<UniqueFd, UniqueFd>> ends = MakePipe();
  if (!ends.ok()) return;
  for (const UniqueFd* end : {&ends->first, &ends->second}) {
    ::fcntl(end->get(), F_SETFL, O_NONBLOCK);
  }
  fd_ = std::move(ends->first);
  set_fd_ = std::move(ends->second);
}

void Wakeup::Set() {
  // Full, it is readable already.
  [[maybe_unused]] const ssize_t ignored = ::write(set_fd_.get(), "", 1);
}

void Wakeup::Clear() {
  std::array<char, 64> buffer;
  while (::read(fd_.get(), buffer.data(), buffer.size()) > 0) {
  }
}

}  // namespace claw::ctl
