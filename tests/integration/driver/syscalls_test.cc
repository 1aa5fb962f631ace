#include <catch2/catch.hpp>
#include <cerrno>

#include "agent/base/strings.h"
#include "agent/policy/compat.h"
#include "tests/integration/driver/oci_fixture.h"
#include "tests/support/program_root.h"

namespace claw::test {
namespace {

// Uses calls that gVisor lacks or refuses. "needs": fails without any of them; "copes": does not
// mind. The numbers are the same on every architecture but for the first two.
constexpr char kProgram[] = R"(
#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char** argv) {
  struct { unsigned bytes; int type; unsigned char handle[128]; } where = {128, 0, {0}};
  int mount_id = 0, failed = 0;
  struct { unsigned long long flags, mode, resolve; } how = {O_RDONLY, 0, 0};
  int in = open("/in", O_RDONLY), out = open("/out", O_CREAT | O_WRONLY, 0600);
  failed += syscall(SYS_copy_file_range, in, 0, out, 0, 4, 0) != 4;
  failed += syscall(SYS_name_to_handle_at, AT_FDCWD, "/dev/shm", &where, &mount_id, 0) != 0;
  failed += syscall(434, getpid(), 0) < 0;                           /* pidfd_open */
  failed += syscall(437, AT_FDCWD, "/", &how, sizeof(how)) < 0;      /* openat2 */
  return argc > 1 && strcmp(argv[1], "needs") == 0 ? failed : 0;
}
)";

const std::vector<std::string> kNames = {"copy_file_range", "name_to_handle_at", "openat2",
                                         "pidfd_open"};

struct Ran {
  int exit_code = 0;
  SyscallReport report{};
  int64_t log_bytes = 0;
};

Ran RunToEnd(OciFixture& fixture, const drivers::LaunchSpec& spec) {
  drivers::Driver& driver = fixture.driver();
  const auto created = driver.Create(spec);
  INFO(created.status());
  REQUIRE(created.ok());
  const auto started = driver.Start(created->handle);
  INFO(started.status());
  REQUIRE(started.ok());
  Ran ran;
  ran.exit_code = AwaitExit(driver, created->handle).exit_code.value_or(-1);
  UNSCOPED_INFO(ReadLog(driver, created->handle) << ReadLog(driver, created->handle, true));
  if (spec.trace_syscalls) {
    ran.log_bytes = driver.SyscallLogBytes(spec.id);
    const auto report = driver.ReadSyscalls(spec.id);
    INFO(report.status());
    REQUIRE(report.ok());
    ran.report = *report;
  }
  REQUIRE(driver.Destroy(spec.id).ok());
  REQUIRE(driver.Purge(spec.id).ok());
  CHECK(driver.SyscallLogBytes(spec.id) == 0);
  return ran;
}

drivers::LaunchSpec Launch(OciFixture& fixture, std::vector<std::string> argv) {
  drivers::LaunchSpec spec = fixture.Shell("");
  spec.argv = std::move(argv);
  spec.resources.memory = {
      .workload_bytes = 512 * kMiB, .overhead_bytes = 64 * kMiB, .cgroup_max_bytes = 576 * kMiB};
  return spec;
}

void AddProgram(OciFixture& fixture) {
  const std::filesystem::path root = fixture.dir() / "image";
  AddCProgram(root, "calls", kProgram);
  AddCProgram(root, "in", "int main() { return 0; }");  // any file of four bytes and more
}

std::vector<std::string> Names(const SyscallReport& report) {
  std::vector<std::string> names;
  for (const FailedCall& call : policy::FindSuspects(report).calls) names.push_back(call.name);
  return names;
}

TEST_CASE("gVisor's log names exactly the calls that it lacks or refuses", "[gvisor]") {
  OciFixture fixture("gvisor");
  AddProgram(fixture);
  drivers::LaunchSpec spec = Launch(fixture, {"/calls", "needs"});
  CHECK(RunToEnd(fixture, spec).exit_code == 4);
  spec = Launch(fixture, {"/calls", "copes"});
  spec.trace_syscalls = true;
  const Ran ran = RunToEnd(fixture, spec);
  CHECK(ran.exit_code == 0);
  CHECK(ran.log_bytes > 0);
  CHECK_FALSE(ran.report.cut);
  CHECK(Names(ran.report) == kNames);
}

TEST_CASE("a call that is refused fails under runc as it does under gVisor", "[runc]") {
  OciFixture fixture("runc");
  AddProgram(fixture);
  CHECK(RunToEnd(fixture, Launch(fixture, {"/calls", "needs"})).exit_code == 0);
  for (const std::string& name : kNames) {
    CAPTURE(name);
    drivers::LaunchSpec spec = Launch(fixture, {"/calls", "needs"});
    spec.refused_calls = {{.name = name, .error_number = ENOSYS}};
    CHECK(RunToEnd(fixture, spec).exit_code == 1);
    spec = Launch(fixture, {"/calls", "copes"});
    spec.refused_calls = {{.name = name, .error_number = ENOSYS}};
    CHECK(RunToEnd(fixture, spec).exit_code == 0);
  }
}

TEST_CASE("what a runtime cannot do with system calls it refuses", "[runc][gvisor]") {
  OciFixture runc("runc");
  drivers::LaunchSpec spec = Launch(runc, {"true"});
  spec.trace_syscalls = true;
  CHECK(runc.driver().Create(spec).status().code() == StatusCode::kUnimplemented);
  spec = Launch(runc, {"true"});
  spec.refused_calls = {{.name = "syscall_9999", .error_number = ENOSYS}};
  CHECK(runc.driver().Create(spec).status().code() == StatusCode::kUnimplemented);
  OciFixture gvisor("gvisor");
  spec = Launch(gvisor, {"true"});
  spec.refused_calls = {{.name = "openat2", .error_number = ENOSYS}};
  CHECK(gvisor.driver().Create(spec).status().code() == StatusCode::kUnimplemented);
  CHECK(gvisor.driver().List()->empty());
  CHECK(runc.driver().List()->empty());
}

TEST_CASE("Debian's python3 and node lack nothing under gVisor", "[gvisor]") {
  OciFixture fixture("gvisor");
  const std::filesystem::path root = fixture.dir() / "image";
  std::vector<std::string> argv;
  SECTION("python3") {
    AddPrograms(root, {"/usr/bin/python3"}, {"/usr/lib/python3.11"});
    argv = {"/usr/bin/python3", "-c",
            "import json, threading; t = threading.Thread(target=print); t.start(); t.join(); "
            "print(json.dumps([1]))"};
  }
  SECTION("node") {
    AddPrograms(root, {"/usr/bin/node"});
    argv = {"/usr/bin/node", "-e",
            "require('fs').readFile('/etc/passwd', () => console.log('read'))"};
  }
  drivers::LaunchSpec spec = Launch(fixture, argv);
  spec.resources.pids_max = 1024;
  CHECK(RunToEnd(fixture, spec).exit_code == 0);
  spec = Launch(fixture, argv);
  spec.resources.pids_max = 1024;
  spec.trace_syscalls = true;
  const Ran traced = RunToEnd(fixture, spec);
  CHECK(traced.exit_code == 0);
  CHECK(Names(traced.report) == std::vector<std::string>{});
}

}  // namespace
}  // namespace claw::test
