#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <random>

#include "agent/base/bytes.h"
#include "agent/base/strings.h"
#include "agent/host/cgroup.h"
#include "tests/e2e/agent.h"

namespace claw::test {
namespace {

int64_t Number(const nlohmann::json& json, const char* key) {
  return std::stoll(json.value(key, std::string("0")));
}

// Invariant I2, asked of a real agent: what it says it charges is the sum over its records, within
// what is allocatable, and the kernel holds each sandbox to its part.
void CheckLedger(const Agent& agent) {
  const auto budget = nlohmann::json::parse(agent.Must({"budget", "-o", "json"}));
  const auto listed = nlohmann::json::parse(agent.Must({"ps", "-a", "-o", "json"}));
  const auto cgroups = host::Cgroups::Detect();
  REQUIRE(cgroups.ok());
  int64_t sum = 0;
  for (const auto& sandbox : listed.at("items")) {
    if (sandbox.value("released", false)) continue;
    const auto& memory = sandbox.at("resources").at("memory");
    sum += Number(memory, "request_bytes") + Number(memory, "overhead_bytes");
    if (sandbox.at("state") != "SANDBOX_STATE_RUNNING") continue;
    const std::string id = sandbox.at("name").get<std::string>().substr(10);
    const std::string driver = sandbox.at("driver").get<std::string>();
    const auto limits = (*cgroups)->ReadLimits(StrCat(agent.OwnCgroup(), "/", driver, "/", id));
    REQUIRE(limits.ok());
    CHECK(limits->memory_max_bytes <= Number(memory, "cgroup_max_bytes"));
    CHECK(limits->memory_max_bytes > 0);
  }
  const auto& memory = budget.at("memory");
  CHECK(Number(memory, "charged_bytes") == sum);
  CHECK(sum <= Number(memory, "allocatable_bytes"));
  const auto around = (*cgroups)->ReadLimits(agent.OwnCgroup());
  REQUIRE(around.ok());
  CHECK(around->memory_max_bytes <= Number(memory, "allocatable_bytes"));
}

TEST_CASE("I2 holds for a real agent that is killed again and again in the middle of its work",
          "[e2e]") {
  Agent agent({.config = "[node]\nmemory = \"600Mi\"\n"
                         "[reserves]\nsystem = 0\nagent = 0\neviction = 0\n"
                         "[budget]\nmeasure_seconds = 1\nwindow_seconds = 1\n"});
  agent.Furnish();
  std::mt19937_64 random(20261126);  // the same story each time
  const auto below = [&random](uint64_t bound) { return static_cast<int>(random() % bound); };
  for (int round = 0; round < 4; ++round) {
    INFO("round " << round);
    std::vector<Process> calls;
    for (int i = 0; i < 4; ++i) {
      std::vector<std::string> run = {
          "run",     "-d",      "--tenant", below(2) == 0 ? "house" : "guest",
          "--image", "busybox", "--memory", StrCat(32 + below(160), "Mi")};
      if (below(2) == 0) run.insert(run.end(), {"--memory-request", "16Mi"});
      run.insert(run.end(), {"--", "sleep", "1000"});
      auto call = Spawn(agent.CtlCommand(run));
      REQUIRE(call.ok());
      calls.push_back(*std::move(call));
      // One of them is waited for, so that the agent dies at different points of the others.
      if (i == below(4)) calls.back().Wait().IgnoreError();
    }
    agent.Kill9();
    agent.Start();
    // Refused, cut off or done: all the same here. Some were waited for already.
    for (Process& call : calls) call.Wait().IgnoreError();
    CheckLedger(agent);
    const std::string ids = agent.Must({"ps", "-q"});
    for (const std::string_view id : Split(ids, '\n', true)) {
      if (below(3) == 0) agent.Must({"rm", "--force", std::string(Trim(id))});
    }
    CheckLedger(agent);
  }
}

}  // namespace
}  // namespace claw::test
