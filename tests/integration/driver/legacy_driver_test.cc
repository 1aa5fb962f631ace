#include <catch2/catch.hpp>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <map>

#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "agent/base/subprocess.h"
#include "tests/integration/driver/oci_fixture.h"
#include "tests/support/busybox_root.h"

namespace claw::test {
namespace {

namespace fs = std::filesystem;

struct Ended {
  std::string proof;
  std::string output;
};

// Runs it to its end and removes it.
Ended RunToEnd(OciFixture& fixture, const drivers::LaunchSpec& spec) {
  drivers::Driver& driver = fixture.driver();
  const auto created = driver.Create(spec);
  INFO(ToLogString(created.status()));
  REQUIRE(created.ok());
  const auto proof = driver.Start(created->handle);
  INFO(ToLogString(proof.status()));
  REQUIRE(proof.ok());
  AwaitExit(driver, created->handle);
  Ended ended{.proof = *proof, .output = ReadLog(driver, created->handle)};
  CHECK(driver.Destroy(spec.id).ok());
  CHECK(driver.Purge(spec.id).ok());
  return ended;
}

std::map<std::string, int64_t> Outcomes(const std::string& output) {
  std::map<std::string, int64_t> outcomes;
  for (const std::string_view line : Split(output, '\n', true)) {
    const std::vector<std::string_view> words = Split(line, ' ');
    REQUIRE(words.size() == 2);
    REQUIRE(ParseInt(words[1], &outcomes[std::string(words[0])]));
  }
  return outcomes;
}

drivers::LaunchSpec Prober(OciFixture& fixture) {
  fs::copy_file(CLAW_SYSCALL_PROBER, fixture.dir() / "image/bin/prober");
  drivers::LaunchSpec spec = fixture.Shell("");
  spec.argv = {"/bin/prober"};
  return spec;
}

// Whether this kernel takes calls of 32-bit programs: ia32_emulation=0 walls them up.
bool HasDoor() {
#ifdef CLAW_FOREIGN_CALL
  const auto outside = Run({.argv = {CLAW_FOREIGN_CALL, "i386"}});
  return outside.ok() && outside->exit_code == 0;
#else
  return true;
#endif
}

TEST_CASE("legacy code is refused what would reach the kernel's rarer parts", "[legacy]") {
  OciFixture fixture("legacy");
  const Ended ended = RunToEnd(fixture, Prober(fixture));
  INFO(ended.output);
  const auto outcomes = Outcomes(ended.output);
  REQUIRE(outcomes.size() > 50);
  for (const auto& [name, error] : outcomes) {
    INFO(name);
    if (name.starts_with("ok_")) {
      CHECK(error == 0);
    } else if (name.starts_with("killed_")) {
      // Where the kernel has no such door at all, its own programs get no further either.
      CHECK((error == SIGSYS || (name == "killed_int80" && error == SIGSEGV && !HasDoor())));
    } else {
      CHECK(error == (name == "clone3" ? ENOSYS : EPERM));
    }
  }
}

TEST_CASE("containers cannot reach the host's hypervisor by a family with high bits", "[runc]") {
  OciFixture fixture("runc");
  const auto outcomes = Outcomes(RunToEnd(fixture, Prober(fixture)).output);
  CHECK(outcomes.at("af_vsock") == EPERM);
  CHECK(outcomes.at("af_vsock_high_bits") == EPERM);
  CHECK(outcomes.at("ok_tcp") == 0);
}

TEST_CASE("legacy code has no capabilities, no network and no view of the host", "[legacy]") {
  OciFixture fixture("legacy");
  const Ended ended = RunToEnd(
      fixture, fixture.Shell("grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status;"
                             "cat /proc/net/dev; head -c 9 /proc/self/uid_map;"
                             "cat /proc/cmdline /proc/kallsyms; ls /sys/class /sys/module;"
                             "echo 1 > /proc/sys/kernel/core_pattern; touch /proc/sysrq-trigger;"
                             "echo end"));
  INFO(ended.output);
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}) {
    CHECK(ended.output.find(StrCat(set, ":\t0000000000000000\n")) != std::string::npos);
  }
  CHECK(ended.output.find("NoNewPrivs:\t1\n") != std::string::npos);
  CHECK(ended.output.find("Seccomp:\t2\n") != std::string::npos);
  CHECK(drivers::InterfacesIn(ended.output.substr(ended.output.find("Inter-"))).front() == "lo");
  CHECK(ended.output.find("eth") == std::string::npos);
  CHECK(ended.output.find("BOOT_IMAGE") == std::string::npos);
  CHECK(ended.output.ends_with("/sys/class:\n\n/sys/module:\nend\n"));
}

TEST_CASE("legacy code that is to be connected has one interface, or does not start", "[legacy]") {
  const bool connected = GENERATE(true, false);
  OciFixture fixture("legacy");
  drivers::Driver& driver = fixture.driver();
  auto spec = fixture.Shell("cat /proc/net/dev; cat /etc/hosts");
  spec.network = NetworkMode::kBridge;
  const fs::path hosts = fixture.dir() / "hosts";
  REQUIRE(WriteFileAtomic(hosts, "127.0.0.1 only-here\n", 0644).ok());
  spec.node_files.push_back({.source = hosts, .destination = "/etc/hosts"});
  const auto created = driver.Create(spec);
  INFO(ToLogString(created.status()));
  REQUIRE(created.ok());
  if (connected) {
    const std::string pid = StrCat(created->process.pid);
    const auto added = RunOrError({.argv = {"nsenter", "--net=/proc/" + pid + "/ns/net", "ip",
                                            "link", "add", "eth0", "type", "bridge"}});
    INFO(ToLogString(added.status()));
    REQUIRE(added.ok());
  }
  const auto proof = driver.Start(created->handle);
  if (connected) {
    INFO(ToLogString(proof.status()));
    REQUIRE(proof.ok());
    CHECK(proof->find("one interface") != std::string::npos);
    AwaitExit(driver, created->handle);
    const std::string output = ReadLog(driver, created->handle);
    CHECK(output.find("eth0:") != std::string::npos);
    CHECK(output.find("only-here") != std::string::npos);
  } else {
    CHECK(GetErrorDetail(proof.status()).value_or(ErrorDetail{}).reason == "PROOF_FAILED");
  }
  CHECK(driver.Destroy(spec.id).ok());
  CHECK(driver.Purge(spec.id).ok());
}

TEST_CASE("the proof of legacy code names what was found", "[legacy]") {
  OciFixture fixture("legacy");
  drivers::Driver& driver = fixture.driver();
  const auto spec = fixture.Shell("exec sleep 1000");
  const auto created = driver.Create(spec);
  REQUIRE(created.ok());
  const auto proof = driver.Start(created->handle);
  REQUIRE(proof.ok());
  for (const char* part :
       {"user namespace", "loopback alone", "seccomp filter", "no capabilities"}) {
    CHECK(proof->find(part) != std::string::npos);
  }
  CHECK(driver.Destroy(spec.id).ok());
  CHECK(driver.Purge(spec.id).ok());
}

TEST_CASE("legacy code gets no folder of the host", "[legacy]") {
  OciFixture fixture("legacy");
  drivers::LaunchSpec spec = fixture.Shell("true");
  spec.mounts = {{.source = fixture.dir().string(), .destination = "/mnt", .read_only = true}};
  const auto created = fixture.driver().Create(spec);
  CHECK(created.status().code() == StatusCode::kInvalidArgument);
  CHECK(GetErrorDetail(created.status())->reason == "MOUNT_NOT_ALLOWED");
  CHECK(fixture.driver().List()->empty());
}

TEST_CASE("a further program in a legacy sandbox is as confined as the first", "[legacy]") {
  OciFixture fixture("legacy");
  drivers::Driver& driver = fixture.driver();
  const drivers::LaunchSpec spec = fixture.Shell("exec sleep 1000");
  const auto created = driver.Create(spec);
  REQUIRE(created.ok());
  REQUIRE(driver.Start(created->handle).ok());
  const auto session =
      driver.Exec(created->handle, {.argv = {"sh", "-c",
                                             "grep -qE '^CapBnd:.0+$' /proc/self/status && "
                                             "grep -qE '^Seccomp:.2$' /proc/self/status && "
                                             "! mount -t tmpfs a /tmp 2>/dev/null"}});
  REQUIRE(session.ok());
  CHECK((*session)->Wait().value_or(-1) == 0);
  CHECK(driver.Destroy(spec.id).ok());
  CHECK(driver.Purge(spec.id).ok());
}

// The two runc drivers on the same folders: what one has is nothing to the other.
TEST_CASE("containers and legacy sandboxes are kept apart", "[runc][legacy]") {
  const auto dir = std::make_shared<TempDir>();
  MakeBusyboxRoot(dir->path() / "image");
  OciFixture plain("runc", dir);
  OciFixture legacy("legacy", dir);
  const auto spec = legacy.Shell("exec sleep 1000");
  const auto created = legacy.driver().Create(spec);
  REQUIRE(created.ok());
  REQUIRE(legacy.driver().Start(created->handle).ok());
  CHECK(plain.driver().List()->empty());
  CHECK_FALSE(plain.driver().Kill(created->handle, SIGKILL).ok());
  CHECK(plain.driver().Destroy(spec.id).ok());
  CHECK(legacy.driver().Inspect(created->handle)->presence == drivers::Presence::kRunning);
  CHECK(legacy.driver().Destroy(spec.id).ok());
  CHECK(legacy.driver().Purge(spec.id).ok());
}

}  // namespace
}  // namespace claw::test
