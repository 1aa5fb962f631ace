#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <fstream>
#include <map>
#include <thread>

#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "agent/base/subprocess.h"
#include "tests/integration/driver/oci_fixture.h"
#include "tests/support/program_root.h"

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

// The two are told apart wherever the application's memory lies.
TEST_CASE("an application's memory and the runtime's tax are told apart",
          "[runc][gvisor][legacy]") {
  constexpr int64_t kHeld = 40 * kMiB;
  // Measured: 11 to 15 MiB under gVisor for such a program, 0.3 to 2 MiB under runc.
  const std::map<std::string, std::pair<int64_t, int64_t>> taxes = {
      {"gvisor", {4 * kMiB, 32 * kMiB}}, {"runc", {1, 6 * kMiB}}, {"legacy", {1, 6 * kMiB}}};
  for (const auto& [kind, tax] : taxes) {
    INFO(kind);
    OciFixture fixture(kind);
    AddCProgram(fixture.dir() / "image", "hold",
                "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n"
                "#include <unistd.h>\n"
                "int main() { char* held = malloc(40 << 20); memset(held, 7, 40 << 20);\n"
                "  puts(\"held\"); fflush(stdout); pause(); return held[1]; }\n");
    const auto spec = fixture.Shell("exec /hold");
    const auto created = fixture.driver().Create(spec);
    REQUIRE(created.ok());
    REQUIRE(fixture.driver().Start(created->handle).ok());
    ReadUntil(fixture.driver(), created->handle, "held");
    // What gVisor's application holds is known within two seconds.
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    auto stats = fixture.driver().GetStats(created->handle);
    while (stats.ok() && stats->application_bytes < kHeld &&
           std::chrono::steady_clock::now() < deadline) {
      std::this_thread::yield();
      stats = fixture.driver().GetStats(created->handle);
    }
    REQUIRE(stats.ok());
    INFO(stats->memory_usage_bytes << " = " << stats->application_bytes << " + "
                                   << stats->overhead_bytes << " + " << stats->page_cache_bytes);
    CHECK(stats->application_bytes >= kHeld);
    CHECK(stats->application_bytes < kHeld + 8 * kMiB);
    CHECK(stats->overhead_bytes >= tax.first);
    CHECK(stats->overhead_bytes <= tax.second);
    // conmon's: 0.34 MiB of its own, and page tables.
    CHECK(stats->supervisor_bytes > 128 * kKiB);
    CHECK(stats->supervisor_bytes < 2 * kMiB);
    CHECK(fixture.driver().Destroy(spec.id).ok());
    CHECK(fixture.driver().Purge(spec.id).ok());
  }
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
  constexpr int kKilledBySegv = 128 + SIGSEGV;
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
    // A door that is walled up, as with ia32_emulation=0, is found so before anybody filters it.
    const int ended = AwaitExit(fixture.driver(), created->handle).exit_code.value_or(-1);
    CHECK((ended == kKilledBySigsys ||
           (outside->exit_code == kKilledBySegv && ended == kKilledBySegv)));
    CHECK(fixture.driver().Destroy(spec.id).ok());
    CHECK(fixture.driver().Purge(spec.id).ok());
  }
}
#endif

}  // namespace
}  // namespace claw::test
