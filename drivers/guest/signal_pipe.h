#pragma once

#include "agent/base/status.h"
#include "agent/base/unique_fd.h"

namespace claw::drivers {

// A descriptor that is readable from Set until Clear: eventfd, on systems that have none.
class SignalPipe {
 public:
  static StatusOr<SignalPipe> Make();

  int fd() const { return read_.get(); }
  void Set();
  void Clear();

 private:
  UniqueFd read_;
  UniqueFd write_;
};

// Two connected sockets, neither of them inherited by programs.
struct SocketPair {
  UniqueFd ours;    // non-blocking
  UniqueFd theirs;  // blocking

  static StatusOr<SocketPair> Make();
};

}  // namespace claw::drivers
