#include "agent/base/linux_errno.h"

#include <catch2/catch.hpp>
#include <cerrno>
#include <cstring>

namespace claw {
namespace {

TEST_CASE("errors have the names that the C library gives them on Linux") {
  for (int number = 1; number < 200; ++number) {
    CAPTURE(number);
    const char* name = ::strerrorname_np(number);
    CHECK(LinuxErrnoName(number) == (name == nullptr ? "" : name));
  }
  CHECK(LinuxErrnoName(ENOSYS) == "ENOSYS");
  for (const int none : {0, -1, 134, 4096}) CHECK(LinuxErrnoName(none).empty());
}

}  // namespace
}  // namespace claw
