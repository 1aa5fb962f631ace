#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>

#include "tools/clawctl/terminal.h"

namespace claw::ctl {

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

}  // namespace claw::ctl
