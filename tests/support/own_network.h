#pragma once

#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstring>

#include "agent/base/unique_fd.h"
#include "tests/support/skip.h"

namespace claw::test {

// Moves the calling thread, and the threads and programs that it starts from then on, into an empty
// network namespace with its loopback up. It ends with the last of them. False: skipped.
inline bool EnterOwnNetwork() {
  if (::unshare(CLONE_NEWNET) != 0) {
    SkipOrFail("needs the right to make network namespaces");
    return false;
  }
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq loopback{};
  std::strcpy(loopback.ifr_name, "lo");
  loopback.ifr_flags = IFF_UP | IFF_RUNNING;
  REQUIRE(::ioctl(socket.get(), SIOCSIFFLAGS, &loopback) == 0);
  return true;
}

}  // namespace claw::test
