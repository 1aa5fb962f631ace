#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <fstream>

#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "agent/base/subprocess.h"
#include "tests/integration/driver/oci_fixture.h"

namespace claw::test {
namespace {

TEST_CASE("runc keeps the driver contract", "[runc]") {
  CheckDriverContract([] { return std::make_unique<OciFixture>("runc"); });
}

TEST_CASE("the legacy driver keeps the driver contract", "[legacy]") {
  CheckDriverContract([] { return std::make_unique<OciFixture>("legacy"); });
}

TEST_CASE("gVisor keeps the driver contract", "[gvisor]") {
  CheckDriverContract([] { return std::make_unique<OciFixture>("gvisor"); });
}

// The same pid and start time, but another boot: what runs under that pid is a stranger.
void CheckReboot(const std::string& kind) {
  OciFixture before(kind);
  const auto created = before.driver().Create(before.Shell("exec sleep 1000"));
  REQUIRE(created.ok());
  REQUIRE(before.driver().Start(created->handle).ok());
  REQUIRE(before.driver().Inspect(created->handle)->presence == drivers::Presence::kRunning);
  const auto after = before.Reboot();
  const auto seen = after->driver().Inspect(created->handle);
  REQUIRE(seen.ok());
  CHECK(seen->presence == drivers::Presence::kGone);
  CHECK(after->driver().Kill(created->handle, SIGTERM).ok());
  CHECK(before.driver().Inspect(created->handle)->presence == drivers::Presence::kRunning);
  const std::string id = before.driver().List()->front();
  CHECK(before.driver().Destroy(id).ok());
  CHECK(before.driver().Purge(id).ok());
}

TEST_CASE("nothing of another boot is adopted", "[runc][gvisor]") {
  CheckReboot("runc");
  CheckReboot("gvisor");
}

TEST_CASE("after Destroy no cgroup of the sandbox is left in any hierarchy",
          "[runc][gvisor][legacy]") {
  for (const char* kind : {"runc", "legacy", "gvisor"}) {
    INFO(kind);
    OciFixture fixture(kind);
    const auto spec = fixture.Shell("exec sleep 1000");
    const auto created = fixture.driver().Create(spec);
    REQUIRE(created.ok());
    REQUIRE(fixture.driver().Start(created->handle).ok());
    const std::string path = StrCat(fixture.cgroup_parent(), "/", kind);
    CHECK(fixture.cgroups().Children(path) == std::vector<std::string>{spec.id});
    CHECK_FALSE(fixture.cgroups().Processes(StrCat(path, "/", spec.id)).empty());
    CHECK(fixture.driver().Destroy(spec.id).ok());
    CHECK(fixture.cgroups().Children(path).empty());
    CHECK(fixture.driver().Purge(spec.id).ok());
  }
}

#ifdef CLAW_FOREIGN_CALL
TEST_CASE("a container reaches the kernel by the machine's own door only", "[runc]") {
  constexpr int kKilledBySigsys = 128 + SIGSYS;
  OciFixture fixture("runc");
  std::filesystem::copy_file(CLAW_FOREIGN_CALL, fixture.dir() / "image/bin/foreign_call");
  for (const std::string door : {"i386", "x32"}) {
    INFO(door);
    // Not every kernel has both; where the host's own programs are refused there is no door.
    const auto outside = Run({.argv = {CLAW_FOREIGN_CALL, door}});
    REQUIRE(outside.ok());
    if (outside->exit_code != 0) WARN("this kernel has no door for " << door);
    auto spec = fixture.Shell("exec foreign_call " + door);
    const auto created = fixture.driver().Create(spec);
    REQUIRE(created.ok());
    REQUIRE(fixture.driver().Start(created->handle).ok());
    CHECK(AwaitExit(fixture.driver(), created->handle).exit_code == kKilledBySigsys);
    CHECK(fixture.driver().Destroy(spec.id).ok());
    CHECK(fixture.driver().Purge(spec.id).ok());
  }
}
#endif

}  // namespace
}  // namespace claw::test
