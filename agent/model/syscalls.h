#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace claw {

// A system call that failed in a sandbox whose calls were logged.
struct FailedCall {
  // What the runtime says of itself in its table of system calls.
  enum class Support { kFull, kPartial, kNone };
  std::string name{};    // as Linux has it; "syscall_470" where nobody knows it
  int error_number = 0;  // errno
  int64_t count = 0;
  Support support = Support::kNone;  // kNone, too, for a call that the table does not list
  bool reported = false;             // the runtime complained that it lacks it
  bool never_worked = false;         // no call of this name succeeded

  bool operator==(const FailedCall&) const = default;
};

struct SyscallReport {
  std::vector<FailedCall> calls{};  // by name, then error
  bool cut = false;                 // the log was too long: there may have been more

  bool operator==(const SyscallReport&) const = default;
};

// A system call that is to fail, whatever it is asked: to see how a program fares without it.
struct RefusedCall {
  std::string name{};
  int error_number = 0;

  bool operator==(const RefusedCall&) const = default;
};

}  // namespace claw
