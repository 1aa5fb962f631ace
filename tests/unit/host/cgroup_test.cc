#include "agent/host/cgroup.h"

#include <poll.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "agent/base/bytes.h"
#include "agent/base/file.h"
#include "agent/base/id.h"
#include "agent/base/subprocess.h"

namespace claw::host {
namespace {

// Cgroups of its own on the real kernel, gone with it.
struct Fixture {
  Fixture() {
    auto detected = Cgroups::Detect();
    INFO(ToLogString(detected.status()));
    REQUIRE(detected.ok());
    cgroups = std::move(*detected);
  }
  ~Fixture() {
    cgroups->KillAll(path).IgnoreError();
    cgroups->Remove(path).IgnoreError();
  }

  // A process that sits in `in` until it is killed.
  Process Enter(const std::string& in) const {
    auto ready = MakePipe();
    REQUIRE(ready.ok());
    std::string script;
    for (const char* root : {"memory", "cpu", "cpuacct", "pids"}) {
      const std::string v1 = StrCat("/sys/fs/cgroup/", root, "/", in, "/cgroup.procs");
      script += StrCat("if test -e ", v1, "; then echo $$ > ", v1, "; fi; ");
    }
    const std::string v2 = StrCat("/sys/fs/cgroup/", in, "/cgroup.procs");
    script += StrCat("if test -e ", v2, "; then echo $$ > ", v2, "; fi; echo; exec sleep 1000");
    ProcessSpec spec;
    spec.argv = {"sh", "-c", script};
    spec.descriptors = {{ready->second.get(), 1}};
    auto process = Spawn(spec);
    REQUIRE(process.ok());
    char byte = 0;
    REQUIRE(::read(ready->first.get(), &byte, 1) == 1);
    return std::move(*process);
  }

  const std::string path = StrCat("clawtest-", RandomHex(8));
  std::unique_ptr<Cgroups> cgroups;
};

TEST_CASE("limits are set and read back", "[cgroup]") {
  Fixture fixture;
  Cgroups& cgroups = *fixture.cgroups;
  const CgroupLimits limits{.memory_max_bytes = 64 * kMiB, .cpu_millis = 1500, .pids_max = 32};
  const std::string inner = fixture.path + "/inner";
  REQUIRE(cgroups.Create(inner, limits).ok());
  CHECK(*cgroups.ReadLimits(inner) == limits);

  SECTION("once more, with others") {
    REQUIRE(cgroups.Create(inner, {.memory_max_bytes = 128 * kMiB}).ok());
    CHECK(*cgroups.ReadLimits(inner) == CgroupLimits{.memory_max_bytes = 128 * kMiB});
  }
  SECTION("memory alone, down, up and off") {
    REQUIRE(cgroups.SetMemoryMax(inner, 32 * kMiB).ok());
    CHECK(cgroups.ReadLimits(inner)->memory_max_bytes == 32 * kMiB);
    REQUIRE(cgroups.SetMemoryMax(inner, 256 * kMiB).ok());
    CHECK(cgroups.ReadLimits(inner)->memory_max_bytes == 256 * kMiB);
    REQUIRE(cgroups.SetMemoryMax(inner, 0).ok());
    CHECK(cgroups.ReadLimits(inner)->memory_max_bytes == 0);
    CHECK(cgroups.ReadLimits(inner)->pids_max == 32);
  }
  SECTION("a limit that the kernel refuses leaves nothing") {
    CHECK_FALSE(cgroups.Create(fixture.path + "/bad", {.cpu_millis = 1}).ok());
    CHECK(cgroups.Children(fixture.path) == std::vector<std::string>{"inner"});
  }
}

TEST_CASE("a cgroup knows its processes, and kills and removes them all", "[cgroup]") {
  Fixture fixture;
  Cgroups& cgroups = *fixture.cgroups;
  const std::string inner = fixture.path + "/inner";
  REQUIRE(cgroups.Create(inner, {.memory_max_bytes = 64 * kMiB, .pids_max = 8}).ok());
  REQUIRE(cgroups.Create(fixture.path + "/other", {}).ok());
  CHECK(cgroups.Children(fixture.path) == std::vector<std::string>{"inner", "other"});
  CHECK(cgroups.Processes(inner).empty());
  Process process = fixture.Enter(inner);

  CHECK(cgroups.Processes(inner) == std::vector<pid_t>{process.pid()});
  CHECK(cgroups.Processes(fixture.path) == std::vector<pid_t>{process.pid()});
  CHECK(cgroups.CheckMember(inner, process.pid()).ok());
  CHECK(cgroups.CheckMember(fixture.path, process.pid()).ok());
  CHECK_FALSE(cgroups.CheckMember(fixture.path + "/other", process.pid()).ok());
  CHECK_FALSE(cgroups.CheckMember(inner, ::getpid()).ok());
  const auto usage = cgroups.ReadUsage(inner);
  REQUIRE(usage.ok());
  CHECK(usage->pids == 1);
  CHECK(usage->memory_bytes >= 0);
  CHECK(usage->limit_hits == 0);

  const Status busy = cgroups.Remove(inner);
  CHECK(busy.code() == StatusCode::kFailedPrecondition);
  CHECK(cgroups.KillAll(inner).ok());
  CHECK(cgroups.Processes(inner).empty());
  CHECK(process.Wait().value_or(-1) == 137);
  CHECK(cgroups.Remove(fixture.path).ok());
  CHECK(cgroups.Remove(fixture.path).ok());  // not there: fine
  CHECK(cgroups.Children(fixture.path).empty());
  CHECK_FALSE(cgroups.ReadLimits(inner).ok());
  CHECK_FALSE(cgroups.ReadUsage(inner).ok());
}

TEST_CASE("the memory limit is the kernel's, not ours", "[cgroup]") {
  Fixture fixture;
  REQUIRE(fixture.cgroups->Create(fixture.path, {.memory_max_bytes = 8 * kMiB}).ok());
  std::string script;
  for (const char* place : {"memory/", ""}) {
    const std::string file = StrCat("/sys/fs/cgroup/", place, fixture.path, "/cgroup.procs");
    script += StrCat("if test -e ", file, "; then echo $$ > ", file, "; fi; ");
  }
  ProcessSpec spec;
  spec.argv = {"sh", "-c", script + "head -c 64M /dev/zero | tail -c 60M >/dev/null"};
  const auto result = Run(spec);
  REQUIRE(result.ok());
  CHECK(result->exit_code == 137);
  const auto usage = fixture.cgroups->ReadUsage(fixture.path);
  REQUIRE(usage.ok());
  CHECK(usage->limit_hits > 0);
  CHECK(usage->memory_peak_bytes <= 8 * kMiB);
}

TEST_CASE("no hierarchies, no cgroups") {
  CHECK_FALSE(Cgroups::Detect("/dev/null").ok());
  CHECK_FALSE(Cgroups::Detect("/no/such/file").ok());
}

}  // namespace
}  // namespace claw::host
