#include "agent/base/linux/clone.h"

#include <sched.h>
#include <sys/mman.h>

#include <cerrno>
#include <csignal>
#include <utility>

namespace claw {
namespace {

constexpr size_t kStackBytes = 128 << 10;

// A sanitizer keeps notes on the running thread, which a child in the same memory would spoil.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kShareMemory = 0;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr int kShareMemory = 0;
#else
constexpr int kShareMemory = CLONE_VM;
#endif
#else
constexpr int kShareMemory = CLONE_VM;
#endif

}  // namespace

StatusOr<ChildStack> ChildStack::Make() {
  void* bottom = ::mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (bottom == MAP_FAILED) return ErrnoError(errno, "a stack for a child");
  return ChildStack(bottom);
}

ChildStack::ChildStack(ChildStack&& other) noexcept
    : bottom_(std::exchange(other.bottom_, nullptr)) {}

ChildStack::~ChildStack() {
  if (bottom_ != nullptr) ::munmap(bottom_, kStackBytes);
}

void* ChildStack::top() const { return static_cast<char*>(bottom_) + kStackBytes; }

StatusOr<pid_t> CloneChild(int flags, int (*run)(void*), void* argument, const ChildStack& stack) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, &before);
  const pid_t pid = ::clone(run, stack.top(), kShareMemory | flags | SIGCHLD, argument);
  const int error = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) return ErrnoError(error, "clone");
  return pid;
}

}  // namespace claw
