#include <catch2/catch.hpp>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "agent/base/bytes.h"
#include "agent/base/strings.h"
#include "agent/host/cgroup.h"
#include "tests/e2e/agent.h"

namespace claw::test {
namespace {

TEST_CASE("a memory hog is stopped at its limit and its neighbour goes on", "[e2e]") {
  Agent agent;
  agent.Furnish();
  for (const char* tenant : {"house", "guest"}) {
    INFO(tenant);
    agent.Must({"run", "-d", "--name", "neighbour", "--tenant", tenant, "--memory", "32Mi",
                "--image", "busybox", "--", "sh", "-c", "echo up; exec sleep 1000"});
    const std::string pid = agent.Field("neighbour", "/pid");
    const CommandResult hog = agent.Ctl({"run", "--name", "hog", "--tenant", tenant, "--memory",
                                         "48Mi", "--image", "busybox", "--", "tail", "/dev/zero"});
    CHECK(hog.exit_code == 137);
    CHECK(agent.Field("hog", "/exit/reason") == "END_REASON_OOM_KILLED");
    const int64_t peak = std::stoll(agent.Field("hog", "/exit/memory_peak_bytes"));
    const int64_t limit = std::stoll(agent.Field("hog", "/resources/memory/cgroup_max_bytes"));
    // The kernel lets through what must not fail, some pages at the most.
    CHECK(peak <= limit + 64 * kKiB);
    CHECK(peak > limit - 8 * kMiB);
    CHECK(agent.Must({"events"}).find("sandbox.oom_killed") != std::string::npos);

    CHECK(agent.Field("neighbour", "/state") == "SANDBOX_STATE_RUNNING");
    CHECK(agent.Field("neighbour", "/pid") == pid);
    CHECK(agent.Must({"exec", "neighbour", "--", "echo", "fine"}) == "fine");
    agent.Must({"rm", "--force", "neighbour"});
    agent.Must({"rm", "hog"});
  }
}

// The sandbox's cgroup, as the agent names it in its log.
std::string CgroupOf(const Agent& agent, const std::string& driver, const std::string& sandbox) {
  return StrCat(agent.OwnCgroup(), "/", driver, "/", agent.Field(sandbox, "/name").substr(10));
}

int64_t OverheadOf(const Agent& agent, const std::string& driver) {
  const auto classes = nlohmann::json::parse(
      agent.Must({"budget", "explain", "busybox", "--driver", driver, "-o", "json"}));
  return std::stoll(classes.at("items").at(0).at("overhead_bytes").get<std::string>());
}

TEST_CASE("what runtimes cost is measured, learned, charged, and known after a restart", "[e2e]") {
  Agent agent({.config = "[budget]\nmeasure_seconds = 1\nwindow_seconds = 1\n"});
  agent.Furnish();
  const auto cgroups = host::Cgroups::Detect();
  REQUIRE(cgroups.ok());
  const auto around = (*cgroups)->ReadLimits(agent.OwnCgroup());
  REQUIRE(around.ok());
  const auto budget = nlohmann::json::parse(agent.Must({"budget", "show", "-o", "json"}));
  const int64_t allocatable =
      std::stoll(budget.at("memory").at("allocatable_bytes").get<std::string>());
  CHECK(allocatable - around->memory_max_bytes >= 0);
  CHECK(allocatable - around->memory_max_bytes < 64 * kKiB);  // a page

  const std::map<std::string, int64_t> prior = {{"gvisor", OverheadOf(agent, "gvisor")},
                                                {"runc", OverheadOf(agent, "runc")}};
  for (const char* name : {"a", "b", "c", "d", "e"}) {
    for (const char* tenant : {"house", "guest"}) {
      agent.Must({"run", "-d", "--name", StrCat(name, "-", tenant), "--tenant", tenant, "--memory",
                  "32Mi", "--image", "busybox", "--", "sleep", "1000"});
    }
  }
  for (const auto& [driver, guess] : prior) {
    INFO(driver << ", " << guess);
    for (int i = 0; i < 600 && OverheadOf(agent, driver) > guess * 2 / 3; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    CHECK(OverheadOf(agent, driver) <= guess * 2 / 3);
    CHECK(OverheadOf(agent, driver) >= guess / 4);
  }
  agent.StopGracefully();
  agent.Start();
  for (const auto& [tenant, driver] : {std::pair("house", "runc"), std::pair("guest", "gvisor")}) {
    CHECK(OverheadOf(agent, driver) <= prior.at(driver) * 2 / 3);
    // The least that a sandbox may have still starts.
    CHECK(agent.Must({"run", "--name", StrCat("small-", driver), "--tenant", tenant, "--memory",
                      "16Mi", "--image", "busybox", "--", "echo", "hello"}) == "hello");
    CHECK(std::stoll(agent.Field(StrCat("small-", driver), "/resources/memory/overhead_bytes")) <=
          prior.at(driver) * 2 / 3);
  }
}

TEST_CASE("a ceiling of CPU time is in force, in the record and in the kernel", "[e2e]") {
  Agent agent;
  agent.Furnish();
  const auto cgroups = host::Cgroups::Detect();
  REQUIRE(cgroups.ok());
  for (const auto& [tenant, driver] : {std::pair("house", "runc"), std::pair("guest", "gvisor")}) {
    for (const auto& [cpus, millis] : {std::pair("0.5", 500), std::pair("", 0)}) {
      INFO(tenant << " with --cpus " << cpus);
      std::vector<std::string> args = {"run",      "-d",   "--name",  "box",
                                       "--tenant", tenant, "--image", "busybox"};
      if (millis > 0) args.insert(args.end(), {"--cpus", cpus});
      args.insert(args.end(), {"--", "sleep", "1000"});
      agent.Must(args);
      CHECK(agent.Field("box", "/spec/cpu_millis") == StrCat(millis));
      CHECK(agent.Field("box", "/resources/cpu_millis") == StrCat(millis));
      const std::string cgroup = CgroupOf(agent, driver, "box");
      const auto limits = (*cgroups)->ReadLimits(cgroup);
      INFO(ToLogString(limits.status()));
      REQUIRE(limits.ok());
      CHECK(limits->cpu_millis == millis);
      // A limit holds nobody who is not in there.
      const auto pid = static_cast<pid_t>(std::stoll(agent.Field("box", "/pid")));
      CHECK((*cgroups)->CheckMember(cgroup, pid).ok());
      agent.Must({"rm", "--force", "box"});
    }
  }
}

TEST_CASE("the ledger refuses what does not fit and says what there is", "[e2e]") {
  Agent agent({.config = "[node]\nmemory = \"600Mi\"\n"
                         "[reserves]\nsystem = \"0\"\nagent = \"0\"\neviction = \"0\"\n"});
  agent.Furnish();
  agent.Must({"run", "-d", "--name", "first", "--tenant", "guest", "--memory", "256Mi", "--image",
              "busybox", "--", "sleep", "1000"});
  const CommandResult refused = agent.Ctl({"run", "-d", "--tenant", "guest", "--memory", "256Mi",
                                           "--image", "busybox", "--", "sleep", "1000"});
  CHECK(refused.exit_code != 0);
  CHECK(refused.err.find("needed") != std::string::npos);
  CHECK(refused.err.find("available") != std::string::npos);
  agent.Must({"rm", "--force", "first"});
  agent.Must({"run", "-d", "--name", "second", "--tenant", "guest", "--memory", "256Mi", "--image",
              "busybox", "--", "sleep", "1000"});
}

}  // namespace
}  // namespace claw::test
