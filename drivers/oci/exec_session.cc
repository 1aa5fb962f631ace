#include "drivers/oci/exec_session.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "agent/base/strings.h"

namespace claw::drivers {
namespace {

void SetNonBlocking(int fd) { ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK); }

class RuntimeExec final : public ExecSession {
 public:
  RuntimeExec(Process process, UniqueFd in, UniqueFd out, UniqueFd err, bool tty,
              std::function<void(int)> on_close)
      : process_(std::move(process)),
        in_(std::move(in)),
        out_(std::move(out)),
        err_(std::move(err)),
        tty_(tty),
        on_close_(std::move(on_close)) {}

  ~RuntimeExec() override {
    on_close_(reaped_ ? -1 : process_.pidfd());
    if (reaped_) return;
    process_.Signal(SIGKILL).IgnoreError();
    process_.Wait().IgnoreError();
  }

  int stdin_fd() const override { return in_.get(); }
  int stdout_fd() const override { return out_.get(); }
  int stderr_fd() const override { return err_.get(); }

  void CloseStdin() override {
    if (!tty_) {
      in_.reset();
      return;
    }
    // A terminal has no end of file; its line discipline makes one of ^D at the start of a line.
    const char end_of_transmission = 4;
    [[maybe_unused]] const ssize_t ignored = ::write(in_.get(), &end_of_transmission, 1);
  }

  Status Resize(int rows, int columns) override {
    if (!tty_) return FailedPrecondition("the program has no terminal");
    winsize size{};
    size.ws_row = static_cast<unsigned short>(rows);
    size.ws_col = static_cast<unsigned short>(columns);
    if (::ioctl(out_.get(), TIOCSWINSZ, &size) != 0) return ErrnoError(errno, "resize");
    return absl::OkStatus();
  }

  int exit_fd() const override { return process_.pidfd(); }

  StatusOr<int> Wait() override {
    if (!reaped_) {
      ASSIGN_OR_RETURN(exit_code_, process_.Wait());
      reaped_ = true;
    }
    return exit_code_;
  }

 private:
  Process process_;
  UniqueFd in_;
  UniqueFd out_;
  UniqueFd err_;
  const bool tty_;
  std::function<void(int)> on_close_;
  bool reaped_ = false;
  int exit_code_ = 0;
};

StatusOr<std::unique_ptr<ExecSession>> StartOnTerminal(ProcessSpec command,
                                                       std::function<void(int)> on_close) {
  int master = -1;
  int slave = -1;
  if (::openpty(&master, &slave, nullptr, nullptr, nullptr) != 0) {
    return ErrnoError(errno, "open a terminal");
  }
  UniqueFd ours(master);
  const UniqueFd theirs(slave);
  ::fcntl(ours.get(), F_SETFD, FD_CLOEXEC);
  ::fcntl(theirs.get(), F_SETFD, FD_CLOEXEC);
  command.descriptors = {{slave, 0}, {slave, 1}, {slave, 2}};
  command.new_session = true;
  command.controlling_terminal = true;
  ASSIGN_OR_RETURN(Process process, Spawn(command));
  SetNonBlocking(ours.get());
  UniqueFd input(::fcntl(ours.get(), F_DUPFD_CLOEXEC, 0));
  return std::make_unique<RuntimeExec>(std::move(process), std::move(input), std::move(ours),
                                       UniqueFd(), true, std::move(on_close));
}

}  // namespace

StatusOr<std::unique_ptr<ExecSession>> StartExec(ProcessSpec command, bool tty, bool stdin_open,
                                                 std::function<void(int)> on_close) {
  if (tty) return StartOnTerminal(std::move(command), std::move(on_close));
  ASSIGN_OR_RETURN(auto in, MakePipe());
  ASSIGN_OR_RETURN(auto out, MakePipe());
  ASSIGN_OR_RETURN(auto err, MakePipe());
  command.descriptors = {{in.first.get(), 0}, {out.second.get(), 1}, {err.second.get(), 2}};
  command.new_session = true;
  ASSIGN_OR_RETURN(Process process, Spawn(command));
  if (!stdin_open) in.second.reset();
  for (const UniqueFd* fd : {&in.second, &out.first, &err.first}) {
    if (fd->valid()) SetNonBlocking(fd->get());
  }
  return std::make_unique<RuntimeExec>(std::move(process), std::move(in.second),
                                       std::move(out.first), std::move(err.first), false,
                                       std::move(on_close));
}

}  // namespace claw::drivers
