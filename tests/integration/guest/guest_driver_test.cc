// Sandboxes in a guest, over the public API, against a real agent and real runtimes.

#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <future>

#include "agent/base/file.h"
#include "drivers/guest/vm_driver.h"
#include "tests/integration/guest/guest_agent.h"

namespace claw::test {
namespace {

using drivers::Presence;

TEST_CASE("trusted sandboxes in a guest keep the driver contract", "[guest]") {
  CheckDriverContract(
      [] { return std::make_unique<GuestDriverFixture>(IsolationClass::kContainer); });
}

TEST_CASE("untrusted sandboxes in a guest keep the driver contract", "[guest][gvisor]") {
  CheckDriverContract([] { return std::make_unique<GuestDriverFixture>(IsolationClass::kGvisor); });
}

TEST_CASE("a guest decides by itself, whatever its host believes", "[guest]") {
  GuestDriverFixture fixture(IsolationClass::kContainer);
  drivers::LaunchSpec spec = fixture.Shell("echo ran");
  auto facts = std::make_shared<drivers::GuestFacts>(*spec.guest);
  std::string reason = "PROOF_FAILED";
  SECTION("an untrusted tenant gets no container, and nothing of it is left") {
    facts->tenant.trust = Trust::kUntrusted;
    reason = "COMPAT_STALE";  // there is only gVisor for it, whose verdict this is not
  }
  SECTION("one that is larger than the guest finds no place") {
    facts->spec.workload_bytes = 4096 * kGiB;
    reason = "MEMORY_EXHAUSTED";
  }
  spec.guest = facts;
  const auto created = fixture.driver().Create(spec);
  REQUIRE_FALSE(created.ok());
  INFO(ToLogString(created.status()));
  CHECK(GetErrorDetail(created.status())->reason == reason);
  CHECK(fixture.driver().List()->empty());
  drivers::Driver& gvisor = fixture.guest().DriverOf(IsolationClass::kGvisor);
  CHECK(gvisor.List()->empty());
}

TEST_CASE("an image travels once, and what it was cannot be changed by its name", "[guest]") {
  GuestDriverFixture fixture(IsolationClass::kContainer);
  REQUIRE(WriteFileAtomic(fixture.agent().root() / "etc/mark", "first").ok());
  const drivers::LaunchSpec first = fixture.Shell("cat /etc/mark");
  const auto created = fixture.driver().Create(first);
  INFO(ToLogString(created.status()));
  REQUIRE(created.ok());
  // Of the same digest nothing is sent again.
  REQUIRE(WriteFileAtomic(fixture.agent().root() / "etc/mark", "second").ok());
  const drivers::LaunchSpec second = fixture.Shell("cat /etc/mark");
  const auto again = fixture.driver().Create(second);
  REQUIRE(again.ok());
  for (const auto& one : {created, again}) {
    REQUIRE(fixture.driver().Start(one->handle).ok());
    AwaitExit(fixture.driver(), one->handle);
    CHECK(ReadLog(fixture.driver(), one->handle) == "first");
  }
}

TEST_CASE("a guest's agent that is killed keeps its sandboxes, and who waits goes on waiting",
          "[guest]") {
  GuestDriverFixture fixture(IsolationClass::kContainer);
  drivers::VmDriver driver("mac1", IsolationClass::kContainer);
  CHECK(GetErrorDetail(driver.List().status())->reason == "GUEST_UNREACHABLE");
  driver.Use(fixture.agent().Dial());
  const drivers::LaunchSpec spec = fixture.Shell("echo ready; read line; exit 6");
  drivers::LaunchSpec open = spec;
  open.stdin_open = true;
  const auto created = driver.Create(open);
  INFO(ToLogString(created.status()));
  REQUIRE(created.ok());
  REQUIRE(driver.Start(created->handle).ok());
  ReadUntil(driver, created->handle, "ready");
  std::promise<drivers::ExitObservation> promise;
  auto ended = promise.get_future();
  REQUIRE(driver.Wait(created->handle, [&](const auto& seen) { promise.set_value(seen); }).ok());
  fixture.agent().agent().Kill9();
  CHECK_FALSE(driver.Inspect(created->handle).ok());
  fixture.agent().agent().Start();
  // The channel comes back by itself.
  StatusOr<drivers::Inspection> found = driver.Inspect(created->handle);
  while (!found.ok()) found = driver.Inspect(created->handle);
  CHECK(found->presence == Presence::kRunning);
  {
    const auto input = driver.OpenInput(created->handle);
    REQUIRE(input.ok());
    REQUIRE(::write(input->get(), "go\n", 3) == 3);
    REQUIRE(ended.wait_for(std::chrono::seconds(60)) == std::future_status::ready);
  }
  CHECK(ended.get().exit_code == 6);
  CHECK(ReadLog(driver, created->handle) == "ready\n");
  CHECK(driver.Destroy(open.id).ok());
  CHECK(driver.Purge(open.id).ok());
}

TEST_CASE("when its VM goes off, whoever waits learns that nobody saw the end", "[guest]") {
  GuestDriverFixture fixture(IsolationClass::kContainer);
  drivers::VmDriver driver("mac1", IsolationClass::kContainer);
  driver.Use(fixture.agent().Dial());
  const drivers::LaunchSpec spec = fixture.Shell("sleep 100");
  const auto created = driver.Create(spec);
  REQUIRE(created.ok());
  REQUIRE(driver.Start(created->handle).ok());
  std::promise<drivers::ExitObservation> promise;
  REQUIRE(driver.Wait(created->handle, [&](const auto& seen) { promise.set_value(seen); }).ok());
  driver.SwitchedOff("QEMU was killed");
  const drivers::ExitObservation seen = promise.get_future().get();
  CHECK_FALSE(seen.exit_code);
  CHECK(seen.reason == EndReason::kHostRestart);
  CHECK(seen.failure.find("QEMU was killed") != std::string::npos);
  CHECK(driver.Kill(created->handle, SIGKILL).ok());
  CHECK(driver.Destroy(spec.id).ok());
  CHECK(driver.Inspect(created->handle)->presence == Presence::kGone);
  CHECK(GetErrorDetail(driver.OpenLog(created->handle).status())->reason == "VM_NOT_RUNNING");
}

TEST_CASE("an image is tested by the agent in the guest", "[guest][gvisor]") {
  GuestDriverFixture fixture(IsolationClass::kGvisor);
  CompatTestSpec spec;
  spec.image = "busybox:sent";
  spec.probes = {{.name = "hello", .command = {"sh", "-c", "echo hello"}, .output = "hello\n"}};
  drivers::GuestFacts facts;
  facts.image = fixture.image();
  std::vector<std::string> lines;
  const auto verdict = fixture.guest().TestImage(spec, facts, fixture.agent().root(),
                                                 [&](std::string line) { lines.push_back(line); });
  INFO(ToLogString(verdict.status()));
  REQUIRE(verdict.ok());
  CHECK(verdict->result == CompatResult::kCompatible);
  CHECK(verdict->image_digest == facts.image.digest);
  CHECK(verdict->probes.size() == 1);
  CHECK(lines.size() >= 2);
}

}  // namespace
}  // namespace claw::test
