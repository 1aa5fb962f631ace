#include "tests/integration/driver/contract.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <csignal>
#include <future>

#include "agent/base/strings.h"

namespace claw::test {
namespace {

using drivers::Driver;
using drivers::ExitObservation;
using drivers::Presence;

struct Started {
  DriverHandle handle;
  std::string id;
};

Started StartShell(DriverFixture& fixture, drivers::LaunchSpec spec) {
  const auto created = fixture.driver().Create(spec);
  INFO(ToLogString(created.status()));
  REQUIRE(created.ok());
  const auto proof = fixture.driver().Start(created->handle);
  INFO(ToLogString(proof.status()));
  REQUIRE(proof.ok());
  REQUIRE_FALSE(proof->empty());
  return {created->handle, spec.id};
}

void Remove(DriverFixture& fixture, const std::string& id) {
  const Status destroyed = fixture.driver().Destroy(id);
  INFO(ToLogString(destroyed));
  CHECK(destroyed.ok());
  CHECK(fixture.driver().Purge(id).ok());
  const auto ids = fixture.driver().List();
  REQUIRE(ids.ok());
  CHECK(std::find(ids->begin(), ids->end(), id) == ids->end());
}

// Reads until the other end is closed or `stop` bytes are there.
std::string Drain(int fd, const std::string& until) {
  std::string text;
  char buffer[4096];
  while (until.empty() || text.find(until) == std::string::npos) {
    pollfd entry{fd, POLLIN, 0};
    if (::poll(&entry, 1, 20'000) <= 0) break;
    const ssize_t got = ::read(fd, buffer, sizeof(buffer));
    if (got <= 0) break;
    text.append(buffer, static_cast<size_t>(got));
  }
  return text;
}

void CheckExec(DriverFixture& fixture) {
  const Started box = StartShell(fixture, fixture.Shell("echo ready; exec sleep 100"));
  ReadUntil(fixture.driver(), box.handle, "ready");
  SECTION("output, error output, environment and exit code") {
    auto session = fixture.driver().Exec(
        box.handle, {.argv = {"sh", "-c", "echo out $X; echo err >&2; exit 9"}, .env = {"X=42"}});
    INFO(ToLogString(session.status()));
    REQUIRE(session.ok());
    CHECK(Drain((*session)->stdout_fd(), "") == "out 42\n");
    CHECK(Drain((*session)->stderr_fd(), "") == "err\n");
    const auto code = (*session)->Wait();
    REQUIRE(code.ok());
    CHECK(*code == 9);
  }
  SECTION("standard input") {
    auto session = fixture.driver().Exec(box.handle, {.argv = {"cat"}, .stdin_open = true});
    REQUIRE(session.ok());
    REQUIRE(::write((*session)->stdin_fd(), "hello", 5) == 5);
    (*session)->CloseStdin();
    CHECK(Drain((*session)->stdout_fd(), "") == "hello");
    CHECK((*session)->Wait().value_or(-1) == 0);
  }
  SECTION("a terminal") {
    auto session = fixture.driver().Exec(
        box.handle, {.argv = {"sh", "-c", "test -t 0 && echo is-a-tty"}, .tty = true});
    REQUIRE(session.ok());
    CHECK(Drain((*session)->stdout_fd(), "is-a-tty").find("is-a-tty") != std::string::npos);
    CHECK((*session)->Wait().value_or(-1) == 0);
  }
  Remove(fixture, box.id);
}

}  // namespace

std::string ReadUntil(Driver& driver, const DriverHandle& handle, const std::string& wanted) {
  auto log = driver.OpenLog(handle);
  REQUIRE(log.ok());
  std::string text;
  while (text.find(wanted) == std::string::npos) {
    const auto records = (*log)->Read();
    REQUIRE(records.ok());
    for (const auto& record : *records) text += record.data;
    if (!records->empty()) continue;
    pollfd entry{(*log)->change_fd(), POLLIN, 0};
    if (::poll(&entry, 1, 20'000) <= 0) break;
  }
  return text;
}

ExitObservation AwaitExit(Driver& driver, const DriverHandle& handle) {
  auto promise = std::make_shared<std::promise<ExitObservation>>();
  auto future = promise->get_future();
  const Status waiting =
      driver.Wait(handle, [promise](ExitObservation seen) { promise->set_value(std::move(seen)); });
  REQUIRE(waiting.ok());
  REQUIRE(future.wait_for(std::chrono::seconds(60)) == std::future_status::ready);
  return future.get();
}

std::string ReadLog(Driver& driver, const DriverHandle& handle, bool from_stderr) {
  auto log = driver.OpenLog(handle);
  REQUIRE(log.ok());
  std::string text;
  while (true) {
    const auto records = (*log)->Read();
    REQUIRE(records.ok());
    if (records->empty()) return text;
    for (const auto& record : *records) {
      if (record.is_stderr == from_stderr) text += record.data;
    }
  }
}

void CheckDriverContract(const std::function<std::unique_ptr<DriverFixture>()>& make) {
  const auto fixture = make();
  Driver& driver = fixture->driver();

  SECTION("it runs a program, keeps its output and its exit code") {
    const Started box = StartShell(*fixture, fixture->Shell("echo out; echo err >&2; exit 7"));
    const ExitObservation seen = AwaitExit(driver, box.handle);
    REQUIRE(seen.exit_code);
    CHECK(*seen.exit_code == 7);
    CHECK_FALSE(seen.oom_killed);
    CHECK(ReadLog(driver, box.handle) == "out\n");
    CHECK(ReadLog(driver, box.handle, true) == "err\n");
    const auto inspection = driver.Inspect(box.handle);
    REQUIRE(inspection.ok());
    CHECK(inspection->presence == Presence::kExited);
    CHECK(inspection->exit->exit_code == 7);
    Remove(*fixture, box.id);
  }

  SECTION("nothing of the tenant's runs before Start") {
    const auto created = driver.Create(fixture->Shell("echo ran"));
    REQUIRE(created.ok());
    CHECK(ReadLog(driver, created->handle).empty());
    REQUIRE(driver.Start(created->handle).ok());
    AwaitExit(driver, created->handle);
    CHECK(ReadLog(driver, created->handle) == "ran\n");
    Remove(*fixture, driver.List()->front());
  }

  SECTION("SIGTERM reaches the program, SIGKILL ends it") {
    const Started box = StartShell(
        *fixture,
        fixture->Shell("trap 'echo term; exit 3' TERM; echo ready; while :; do sleep 0.1; done"));
    ReadUntil(driver, box.handle, "ready");
    CHECK(driver.Inspect(box.handle)->presence == Presence::kRunning);
    REQUIRE(driver.Kill(box.handle, SIGTERM).ok());
    CHECK(AwaitExit(driver, box.handle).exit_code == 3);
    CHECK(driver.Kill(box.handle, SIGTERM).ok());  // over already
    const Started other = StartShell(*fixture, fixture->Shell("trap '' TERM; exec sleep 100"));
    REQUIRE(driver.Kill(other.handle, SIGKILL).ok());
    CHECK(AwaitExit(driver, other.handle).exit_code == 137);
    Remove(*fixture, box.id);
    Remove(*fixture, other.id);
  }

  SECTION("a program that is not there is the caller's mistake and leaves nothing") {
    auto spec = fixture->Shell("");
    spec.argv = {"no-such-program"};
    const auto created = driver.Create(spec);
    Status status = created.status();
    if (status.ok()) status = driver.Start(created->handle).status();
    CHECK(status.code() == StatusCode::kInvalidArgument);
    CHECK(GetErrorDetail(status)->reason == "COMMAND_NOT_FOUND");
    Remove(*fixture, spec.id);
  }

  SECTION("Destroy is idempotent, works on what runs and on what never was") {
    const Started box = StartShell(*fixture, fixture->Shell("exec sleep 100"));
    Remove(*fixture, box.id);
    Remove(*fixture, box.id);
    Remove(*fixture, "00000000000000ff");
    CHECK(driver.Inspect(box.handle)->presence == Presence::kGone);
  }

  SECTION("the same id twice is refused and harms nothing") {
    const auto spec = fixture->Shell("exec sleep 100");
    const Started box = StartShell(*fixture, spec);
    CHECK_FALSE(driver.Create(spec).ok());
    CHECK(driver.Inspect(box.handle)->presence == Presence::kRunning);
    Remove(*fixture, box.id);
  }

  SECTION("after a restart it finds what runs and what ended meanwhile") {
    const Started alive = StartShell(*fixture, fixture->Shell("echo ready; exec sleep 100"));
    const Started over = StartShell(*fixture, fixture->Shell("echo bye; exit 5"));
    AwaitExit(driver, over.handle);
    const auto again = fixture->Reopen();
    CHECK(again->driver().Inspect(alive.handle)->presence == Presence::kRunning);
    const auto ended = again->driver().Inspect(over.handle);
    CHECK(ended->presence == Presence::kExited);
    CHECK(ended->exit->exit_code == 5);
    CHECK(ReadLog(again->driver(), over.handle) == "bye\n");
    const auto recovered = again->driver().Recover(alive.id);
    REQUIRE(recovered.ok());
    CHECK(recovered->handle == alive.handle);
    CHECK(recovered->record_json == "{}");
    REQUIRE(again->driver().Kill(recovered->handle, SIGKILL).ok());
    CHECK(AwaitExit(again->driver(), alive.handle).exit_code == 137);
    Remove(*again, alive.id);
    Remove(*again, over.id);
  }

  SECTION("exec") { CheckExec(*fixture); }

  SECTION("standard input reaches the program and ends") {
    auto spec = fixture->Shell("cat; echo done");
    spec.stdin_open = true;
    const Started box = StartShell(*fixture, spec);
    {
      const auto input = driver.OpenInput(box.handle);
      INFO(ToLogString(input.status()));
      REQUIRE(input.ok());
      REQUIRE(::write(input->get(), "hello\n", 6) == 6);
      ReadUntil(driver, box.handle, "hello");
      ::shutdown(input->get(), SHUT_WR);
      CHECK(AwaitExit(driver, box.handle).exit_code == 0);
    }
    CHECK(ReadLog(driver, box.handle) == "hello\ndone\n");
    Remove(*fixture, box.id);
  }

  SECTION("stats") {
    const Started box = StartShell(*fixture, fixture->Shell("echo ready; exec sleep 100"));
    ReadUntil(driver, box.handle, "ready");
    const auto stats = driver.GetStats(box.handle);
    REQUIRE(stats.ok());
    CHECK(stats->memory_usage_bytes > 0);
    CHECK(stats->overhead_bytes > 0);
    CHECK(stats->application_bytes >= 0);
    CHECK(stats->page_cache_bytes >= 0);
    CHECK(stats->application_bytes + stats->overhead_bytes + stats->page_cache_bytes ==
          stats->memory_usage_bytes);
    CHECK(stats->memory_limit_bytes == fixture->Shell("").resources.memory.cgroup_max_bytes);
    CHECK(stats->pids > 0);
    Remove(*fixture, box.id);
  }
}

}  // namespace claw::test
