#pragma once

#include <sys/types.h>

#include "agent/base/status.h"
#include "agent/base/unique_fd.h"

namespace claw::drivers {

// runsc of 2022 takes a namespace that has /proc/sys/net/core/rmem_default for the root's and
// starts no sandbox with a network there; kernels since 6.x show that file in every namespace. Here
// it is hidden from the one process that looks: in a mount namespace of its own, an empty file
// system lies over the folder as the sandbox's network namespace sees it. (The folder has an entry
// of its own in each network namespace, so it has to be mounted from within.)
class MaskedStart {
 public:
  // For the sandbox whose first process is `pid`.
  static StatusOr<MaskedStart> Prepare(pid_t pid);

  // For ProcessSpec::before_exec. Async-signal-safe; 0 or an errno.
  int Enter() const;

 private:
  UniqueFd theirs_;  // network namespaces
  UniqueFd ours_;
};

}  // namespace claw::drivers
