// The agent is killed at any moment; the next one finds out what there is.

#include <signal.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <cstdlib>
#include <thread>

#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "tests/integration/network/world.h"

namespace claw::test {
namespace {

constexpr char kRange[] = "10.222.0.0/20";

// Run by the test below in a process of its own: an agent that connects and disconnects two
// sandboxes until it is killed.
TEST_CASE("connects until it is killed", "[.child]") {
  const char* run_dir = std::getenv("CLAW_TEST_RUN_DIR");
  const char* pids = std::getenv("CLAW_TEST_PIDS");
  if (run_dir == nullptr || pids == nullptr) return;
  network::NetworkConfig config = World::Config(kRange, run_dir);
  network::LinuxNetworks networks(config, {});
  if (!networks.Probe().healthy || !networks.Reconcile().ok()) return;
  while (true) {
    int number = 0;
    for (const std::string_view pid : Split(pids, ',')) {
      network::NetworkPlan plan{.id = StrCat("s", number++), .tenant = "a"};
      plan.layers = {{.policy = Allow({"10.9.1.2:80", "tenant:1"}, {"tenant"})}};
      plan.ports = {{.host_port = 8080 + number, .sandbox_port = 80}};
      int64_t process = 0;
      if (!ParseInt(pid, &process)) return;
      networks.Prepare(plan).status().IgnoreError();
      networks.Attach(plan, process).status().IgnoreError();
    }
    for (int i = 0; i < number; ++i) networks.Detach(StrCat("s", i)).IgnoreError();
  }
}

TEST_CASE("killed at any moment, an agent leaves nothing that the next one does not remove") {
  World world(kRange);
  const std::string none = Rules();
  for (int round = 0; round < 24; ++round) {
    world.Stop();
    Nobody one;
    Nobody two;
    ProcessSpec spec;
    spec.argv = {"/proc/self/exe", "connects until it is killed"};
    spec.env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                StrCat("CLAW_TEST_RUN_DIR=", world.run_dir().string()),
                StrCat("CLAW_TEST_PIDS=", one.pid(), ",", two.pid())};
    auto agent = Spawn(spec);
    REQUIRE(agent.ok());
    // Not before it has begun; then wherever it happens to be.
    REQUIRE(Eventually([&] { return IdentifyFile(world.run_dir() / "s0").ok(); }));
    std::this_thread::sleep_for(std::chrono::milliseconds(round * 17));
    REQUIRE(agent->Signal(SIGKILL).ok());
    REQUIRE(agent->Wait().ok());
    one.End();
    two.End();

    world.Restart();
    const auto removed = world.networks().Reconcile();
    INFO(round << ": " << ToLogString(removed.status()));
    REQUIRE(removed.ok());
    // Those whose plugin had not yet said its name go with their namespace, in the kernel's time.
    CHECK(Eventually([&] { return Leftovers(world).empty(); }));
    CHECK(Rules() == none);
    CHECK(RunHere({"iptables-save"}).find("--to-destination") == std::string::npos);
  }
}

}  // namespace
}  // namespace claw::test
