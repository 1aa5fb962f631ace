#include "drivers/fake/fake_driver.h"

#include <poll.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <future>

#include "tests/unit/driver/fake_fixture.h"

namespace claw::test {
namespace {

using drivers::FakeDriver;
using drivers::FakeProcess;
using drivers::FakeWorld;
using drivers::Presence;
using drivers::Step;

const Status kBoom = Internal("boom");

TEST_CASE("the fake keeps the driver contract") {
  CheckDriverContract([] { return std::make_unique<FakeFixture>(); });
}

TEST_CASE("a step fails as often as it was told to") {
  FakeFixture fixture;
  FakeWorld& world = fixture.world();
  drivers::Driver& driver = fixture.driver();
  const auto spec = fixture.Shell("exec sleep 100");

  SECTION("before: nothing was done") {
    world.Fail(Step::kCreate, kBoom, 2);
    CHECK(driver.Create(spec).status() == kBoom);
    CHECK(driver.Create(spec).status() == kBoom);
    CHECK(world.ids().empty());
    CHECK(driver.Create(spec).ok());
  }
  SECTION("after: it was done, and the caller does not know") {
    world.Fail(Step::kCreate, kBoom, 1, FakeWorld::When::kAfter);
    CHECK(driver.Create(spec).status() == kBoom);
    CHECK(world.ids() == std::vector<std::string>{spec.id});
    CHECK(driver.Destroy(spec.id).ok());
    CHECK(driver.Purge(spec.id).ok());
    CHECK(world.ids().empty());
  }
  SECTION("always, until it is healed") {
    const auto created = driver.Create(spec);
    REQUIRE(created.ok());
    world.Fail(Step::kDestroy, kBoom, FakeWorld::kAlways);
    for (int i = 0; i < 10; ++i) CHECK(driver.Destroy(spec.id) == kBoom);
    CHECK(driver.Inspect(created->handle)->presence == Presence::kRunning);
    world.Heal(Step::kDestroy);
    CHECK(driver.Destroy(spec.id).ok());
  }
  SECTION("a failed proof kills the sandbox") {
    const auto created = driver.Create(spec);
    REQUIRE(created.ok());
    world.Fail(Step::kStart, MakeError(StatusCode::kFailedPrecondition, "not what was promised",
                                       {.reason = "PROOF_FAILED"}));
    CHECK_FALSE(driver.Start(created->handle).ok());
    CHECK(driver.Inspect(created->handle)->presence == Presence::kExited);
  }
  SECTION("a probe that fails makes the driver refuse") {
    world.Fail(Step::kProbe, kBoom);
    CHECK_FALSE(driver.Probe().healthy);
    const Status refused = driver.Create(spec).status();
    CHECK(refused.code() == StatusCode::kFailedPrecondition);
    CHECK(GetErrorDetail(refused)->reason == "RUNTIME_MISSING");
    CHECK(driver.Probe().healthy);
    CHECK(driver.Create(spec).ok());
  }
}

TEST_CASE("a call waits at its gate") {
  FakeFixture fixture;
  const auto spec = fixture.Shell("exec sleep 100");
  const auto gate = fixture.world().Block(Step::kCreate);
  auto call = std::async(std::launch::async, [&] { return fixture.driver().Create(spec).ok(); });
  REQUIRE(gate->AwaitArrival());
  CHECK(fixture.world().ids().empty());
  gate->Release();
  CHECK(call.get());
  CHECK(fixture.world().ids().size() == 1);
  CHECK(fixture.driver().Destroy(spec.id).ok());  // not held a second time
}

TEST_CASE("the world ends sandboxes as it likes") {
  FakeFixture fixture;
  FakeWorld& world = fixture.world();
  drivers::Driver& driver = fixture.driver();
  const auto spec = fixture.Shell("exec sleep 100");
  const auto created = driver.Create(spec);
  REQUIRE(created.ok());
  REQUIRE(driver.Start(created->handle).ok());
  CHECK(world.running() == std::vector<std::string>{spec.id});

  SECTION("out of memory") {
    REQUIRE(world.Exit(spec.id, 137, true, 5 * kMiB).ok());
    const auto seen = AwaitExit(driver, created->handle);
    CHECK(seen.exit_code == 137);
    CHECK(seen.oom_killed);
    CHECK(seen.memory_peak_bytes == 5 * kMiB);
  }
  SECTION("unseen") {
    REQUIRE(world.Vanish(spec.id).ok());
    CHECK_FALSE(AwaitExit(driver, created->handle).exit_code);
    CHECK(driver.Inspect(created->handle)->presence == Presence::kGone);
  }
  SECTION("all at once, with the machine") {
    world.Reboot();
    CHECK(world.running().empty());
    const auto next = driver.Create(fixture.Shell("exec sleep 100"));
    CHECK(next->process.boot_id != created->process.boot_id);
  }
  SECTION("nobody is told after Destroy, nor when the driver that was asked is gone") {
    int told = 0;
    {
      FakeDriver before("fake", IsolationClass::kGvisor,
                        std::shared_ptr<FakeWorld>(&world, [](FakeWorld*) {}));
      REQUIRE(before.Wait(created->handle, [&](const auto&) { ++told; }).ok());
    }
    REQUIRE(driver.Wait(created->handle, [&](const auto&) { ++told; }).ok());
    REQUIRE(driver.Destroy(spec.id).ok());
    CHECK(told == 0);
    CHECK(world.running().empty());
  }
  CHECK_FALSE(world.Exit("ffffffffffffffff", 0).ok());
}

TEST_CASE("drivers of one world see their own") {
  const auto world = std::make_shared<FakeWorld>();
  FakeDriver runc("runc", IsolationClass::kContainer, world);
  FakeDriver gvisor("gvisor", IsolationClass::kGvisor, world);
  runc.Probe();
  gvisor.Probe();
  drivers::LaunchSpec spec;
  spec.id = "00000000000000aa";
  spec.argv = {"true"};
  const auto created = runc.Create(spec);
  REQUIRE(created.ok());
  world->AddLitter("gvisor", "00000000000000bb");
  CHECK(*runc.List() == std::vector<std::string>{"00000000000000aa"});
  CHECK(*gvisor.List() == std::vector<std::string>{"00000000000000bb"});
  CHECK(gvisor.Recover("00000000000000bb").status().code() == StatusCode::kNotFound);
  CHECK(gvisor.Destroy("00000000000000aa").ok());
  CHECK(runc.Inspect(created->handle)->presence == Presence::kRunning);
  CHECK(gvisor.Inspect(created->handle).status().code() == StatusCode::kDataLoss);
  CHECK(gvisor.Destroy("00000000000000bb").ok());
  CHECK(gvisor.List()->empty());
}

TEST_CASE("the world remembers what it was asked") {
  FakeFixture fixture;
  auto spec = fixture.Shell("trap '' TERM; exec sleep 100");
  spec.tty = true;
  const auto created = fixture.driver().Create(spec);
  REQUIRE(fixture.driver().Start(created->handle).ok());
  REQUIRE(fixture.driver().Kill(created->handle, SIGTERM).ok());
  REQUIRE(fixture.driver().ResizeTerminal(created->handle, 24, 80).ok());
  CHECK(*fixture.world().signals(spec.id) == std::vector<int>{SIGTERM});
  CHECK(fixture.world().terminal_size(spec.id)->second == 80);
  CHECK(fixture.world().spec(spec.id)->argv == spec.argv);
  CHECK(fixture.world().calls() == std::vector<std::string>{"probe fake", "create " + spec.id,
                                                            "start " + spec.id, "kill " + spec.id});
  fixture.world().Exit(spec.id, 0).IgnoreError();
  CHECK_FALSE(fixture.driver().ResizeTerminal(created->handle, 24, 80).ok());
}

TEST_CASE("an exec ends with its session and with its sandbox") {
  FakeFixture fixture;
  const auto spec = fixture.Shell("exec sleep 100");
  const auto created = fixture.driver().Create(spec);
  REQUIRE(fixture.driver().Start(created->handle).ok());
  std::vector<std::shared_ptr<FakeProcess>> started;
  fixture.world().SetProgram([&](const std::shared_ptr<FakeProcess>& process) {
    started.push_back(process);
    return absl::OkStatus();
  });
  auto session = fixture.driver().Exec(created->handle, {.argv = {"cat"}});
  REQUIRE(session.ok());
  SECTION("session") {
    session->reset();
    CHECK(started.at(0)->ended());
  }
  SECTION("sandbox") {
    REQUIRE(fixture.driver().Kill(created->handle, SIGKILL).ok());
    pollfd entry{(*session)->exit_fd(), POLLIN, 0};
    CHECK(::poll(&entry, 1, 0) == 1);
    CHECK((*session)->Wait().value_or(-1) == 137);
    CHECK_FALSE(fixture.driver().Exec(created->handle, {.argv = {"cat"}}).ok());
  }
  SECTION("more output than a socket holds") {
    const std::string much(3 << 20, 'x');
    started.at(0)->Write(much);
    started.at(0)->Exit(0);
    size_t got = 0;
    std::vector<char> buffer(1 << 16);
    pollfd entry{(*session)->stdout_fd(), POLLIN, 0};
    while (::poll(&entry, 1, 20'000) == 1) {
      const ssize_t size = ::read((*session)->stdout_fd(), buffer.data(), buffer.size());
      if (size <= 0) break;
      got += static_cast<size_t>(size);
    }
    CHECK(got == much.size());
  }
}

}  // namespace
}  // namespace claw::test
