#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <fstream>

#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "tests/integration/driver/oci_fixture.h"

namespace claw::test {
namespace {

TEST_CASE("runc keeps the driver contract", "[runc]") {
  CheckDriverContract([] { return std::make_unique<OciFixture>("runc"); });
}

TEST_CASE("gVisor keeps the driver contract", "[gvisor]") {
  CheckDriverContract([] { return std::make_unique<OciFixture>("gvisor"); });
}

}  // namespace
}  // namespace claw::test
