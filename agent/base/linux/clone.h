#pragma once

#include <sys/types.h>

#include <cstddef>

#include "agent/base/status.h"

namespace claw {

// fork(2) copies the page tables of the whole agent, and each of its threads then pays for every
// page that it writes. A child from CloneChild shares the agent's memory instead, until it executes
// a program or ends. So it may make system calls only, write to nothing but its own stack and what
// was laid out for it, and must not return from a function that it did not enter itself.

// The memory that such a child runs on. Has to live until the child has executed or is reaped.
class ChildStack {
 public:
  static StatusOr<ChildStack> Make();
  ChildStack(ChildStack&& other) noexcept;
  ChildStack& operator=(ChildStack&&) = delete;
  ~ChildStack();

  [[nodiscard]] void* top() const;

 private:
  explicit ChildStack(void* bottom) : bottom_(bottom) {}

  void* bottom_ = nullptr;
};

// Starts a child that calls run(argument) and ends with what that answers. `flags` are those of
// clone(2), CLONE_VFORK (this thread waits until the child has executed or ended) or CLONE_NEWUSER.
// Without CLONE_VFORK even errno is shared with a thread that runs on: then only calls that do not
// fail, by number. All signals are blocked in the child, so that no handler of the agent's runs in
// it.
StatusOr<pid_t> CloneChild(int flags, int (*run)(void*), void* argument, const ChildStack& stack);

}  // namespace claw
