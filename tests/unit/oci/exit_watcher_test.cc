#include "drivers/oci/exit_watcher.h"

#include <catch2/catch.hpp>
#include <csignal>
#include <future>

#include "agent/base/subprocess.h"

namespace claw::drivers {
namespace {

// A child that goes on until it is let go.
struct Child {
  Child() {
    ProcessSpec spec;
    spec.argv = {"sleep", "1000"};
    auto spawned = Spawn(spec);
    REQUIRE(spawned.ok());
    process = std::move(*spawned);
  }
  ~Child() {
    End();
    process.Wait().IgnoreError();
  }
  void End() const { process.Signal(SIGKILL).IgnoreError(); }
  UniqueFd pidfd() const { return UniqueFd(::dup(process.pidfd())); }

  Process process;
};

// Becomes ready with the callback.
struct Seen {
  std::function<void()> callback() {
    return [this] { promise.set_value(); };
  }
  bool Await() { return future.wait_for(std::chrono::seconds(20)) == std::future_status::ready; }
  bool now() { return future.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }

  std::promise<void> promise;
  std::future<void> future = promise.get_future();
};

TEST_CASE("each exit is told once, to the one who watches it") {
  Seen first_seen;
  Seen second_seen;
  ExitWatcher watcher;
  const Child first;
  const Child second;
  watcher.Watch("first", first.pidfd(), first_seen.callback());
  watcher.Watch("second", second.pidfd(), second_seen.callback());
  second.End();
  CHECK(second_seen.Await());
  CHECK_FALSE(first_seen.now());
  first.End();
  CHECK(first_seen.Await());
}

TEST_CASE("a process that has ended already is told at once") {
  Seen seen;
  ExitWatcher watcher;
  const Child child;
  child.End();
  watcher.Watch("x", child.pidfd(), seen.callback());
  CHECK(seen.Await());
}

TEST_CASE("what was forgotten is not told, and what replaced it is") {
  Seen forgotten;
  Seen replaced;
  Seen fence;
  {
    ExitWatcher watcher;
    const Child child;
    const Child other;
    watcher.Watch("x", child.pidfd(), forgotten.callback());
    watcher.Forget("x");
    watcher.Forget("never");
    watcher.Watch("y", child.pidfd(), forgotten.callback());
    watcher.Watch("y", child.pidfd(), replaced.callback());
    child.End();
    CHECK(replaced.Await());
    // Seen after the child's end by the same thread: whatever was to come has come.
    watcher.Watch("fence", other.pidfd(), fence.callback());
    other.End();
    CHECK(fence.Await());
  }
  CHECK_FALSE(forgotten.now());
}

TEST_CASE("a callback may watch and forget") {
  Seen seen;
  ExitWatcher watcher;
  const Child first;
  const Child second;
  watcher.Watch("first", first.pidfd(), [&] {
    watcher.Forget("first");
    watcher.Watch("second", second.pidfd(), seen.callback());
    second.End();
  });
  first.End();
  CHECK(seen.Await());
}

TEST_CASE("a watcher that goes drops what has not come, without waiting for it") {
  Seen seen;
  const Child child;
  {
    ExitWatcher watcher;
    watcher.Watch("x", child.pidfd(), seen.callback());
  }
  child.End();
  CHECK_FALSE(seen.now());
}

}  // namespace
}  // namespace claw::drivers
