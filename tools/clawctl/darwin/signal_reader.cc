#include <fcntl.h>
#include <sys/event.h>

#include <cerrno>

#include "tools/clawctl/terminal.h"

namespace claw::ctl {

StatusOr<SignalReader> SignalReader::Make(std::initializer_list<int> signals) {
  UniqueFd queue(::kqueue());
  if (!queue.valid()) return ErrnoError(errno, "opening a descriptor for signals");
  ::fcntl(queue.get(), F_SETFD, FD_CLOEXEC);
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) {
    sigaddset(&set, signal);
    // The queue is told of signals that are blocked, too.
    struct kevent change {};
    EV_SET(&change, static_cast<uintptr_t>(signal), EVFILT_SIGNAL, EV_ADD | EV_CLEAR, 0, 0,
           nullptr);
    if (::kevent(queue.get(), &change, 1, nullptr, 0, nullptr) != 0) {
      return ErrnoError(errno, "opening a descriptor for signals");
    }
  }
  sigset_t old_mask;
  if (const int error = ::pthread_sigmask(SIG_BLOCK, &set, &old_mask); error != 0) {
    return ErrnoError(error, "blocking signals");
  }
  return SignalReader(std::move(queue), old_mask);
}

SignalReader::~SignalReader() {
  if (fd_.valid()) ::pthread_sigmask(SIG_SETMASK, &old_mask_, nullptr);
}

int SignalReader::Next() {
  struct kevent event {};
  const timespec now{};
  if (::kevent(fd_.get(), nullptr, 0, &event, 1, &now) != 1) return 0;
  const auto signal = static_cast<int>(event.ident);
  // Left pending, it would come once the mask is put back.
  sigset_t pending;
  sigset_t one;
  sigpending(&pending);
  sigemptyset(&one);
  sigaddset(&one, signal);
  int taken = 0;
  if (sigismember(&pending, signal) == 1) ::sigwait(&one, &taken);
  return signal;
}

}  // namespace claw::ctl
