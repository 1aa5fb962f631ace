#include <catch2/catch.hpp>
#include <fstream>
#include <thread>

#include "agent/base/bytes.h"
#include "agent/base/strings.h"
#include "agent/base/subprocess.h"
#include "tests/e2e/agent.h"
#include "tests/support/http_client.h"
#include "tests/support/prometheus_text.h"

namespace claw::test {
namespace {

// Where the agent says that it serves metrics, the last time.
std::string AddressOf(const Agent& agent) {
  constexpr std::string_view kBefore = "metrics on ";
  const std::string log = agent.log();
  const size_t at = log.rfind(kBefore);
  REQUIRE(at != std::string::npos);
  const size_t begin = at + kBefore.size();
  return log.substr(begin, log.find_first_of(" \n", begin) - begin);
}

PrometheusText Metrics(const Agent& agent) {
  HttpClient client(AddressOf(agent));
  REQUIRE(client.Ask("GET /metrics"));
  const auto answer = client.Read();
  REQUIRE(answer.has_value());
  CHECK(answer->status == 200);
  const auto text = ParsePrometheusText(answer->body);
  INFO(ToLogString(text.status()));
  REQUIRE(text.ok());
  return *text;
}

double Workload(const PrometheusText& text, const std::string& tenant) {
  return text.Value("clawlet_tenant_workload_byte_seconds_total", {{"tenant", tenant}});
}

// As soon as a sandbox that has ended is charged no longer.
PrometheusText AwaitReleased(const Agent& agent, const std::string& tenant) {
  PrometheusText text = Metrics(agent);
  for (int i = 0; i < 600; ++i) {
    if (text.Value("clawlet_tenant_sandboxes", {{"tenant", tenant}}) == 0) return text;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    text = Metrics(agent);
  }
  FAIL("it is charged for ever");
  return text;
}

TEST_CASE("an agent tells of itself, and what tenants owe outlives kill -9", "[e2e]") {
  Agent agent({.config = "[metrics]\nlisten = \"127.0.0.1:0\"\n"});
  agent.Furnish();
  agent.Must({"run", "--name", "short", "--tenant", "house", "--memory", "32Mi", "--image",
              "busybox", "--", "true"});
  agent.Must({"run", "-d", "--name", "long", "--tenant", "guest", "--memory", "32Mi", "--image",
              "busybox", "--", "sleep", "1000"});
  const PrometheusText before = AwaitReleased(agent, "house");
  CHECK(before.Value("clawlet_ready") == 1);
  CHECK(before.Value("clawlet_sandboxes", {{"driver", "gvisor"}, {"state", "RUNNING"}}) == 1);
  CHECK(before.Value("clawlet_starts_total", {{"driver", "runc"}, {"outcome", "running"}}) == 1);
  CHECK(before.Value("clawlet_exits_total", {{"driver", "runc"}, {"reason", "EXITED"}}) == 1);
  CHECK(before.Value("clawlet_start_duration_seconds_count", {{"driver", "gvisor"}}) >= 1);
  CHECK(Workload(before, "house") > 0);
  CHECK(Workload(before, "guest") > 0);

  agent.Kill9();
  agent.Start();
  const PrometheusText after = Metrics(agent);
  CHECK(Workload(after, "house") == Workload(before, "house"));
  CHECK(Workload(after, "guest") > Workload(before, "guest"));
  CHECK(after.Value("clawlet_starts_total", {{"driver", "runc"}, {"outcome", "running"}}) == 0);

  HttpClient health(AddressOf(agent));
  REQUIRE(health.Ask("GET /healthz"));
  CHECK(health.Read()->body == "ok\n");
}

TEST_CASE("metrics are off unless asked for, and an agent that cannot serve them ends", "[e2e]") {
  const Agent agent;
  CHECK(agent.log().find("metrics on") == std::string::npos);
  const TempDir dir;
  std::ofstream(dir.path() / "file") << "data";
  ProcessSpec spec;
  const std::string config = (dir.path() / "clawlet.toml").string();
  spec.argv = {CLAW_BIN "/clawlet", "--config",        config, "--state-dir", dir.path() / "state",
               "--run-dir",         dir.path() / "run"};
  spec.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
  struct Case {
    std::string listen;
    std::string says;
  };
  for (const Case& test :
       {Case{"0.0.0.0:9464", "metrics.listen is 0.0.0.0:9464, which other machines may reach"},
        Case{"unix:" + (dir.path() / "file").string(), "cannot serve metrics on unix:"}}) {
    INFO(test.listen);
    std::ofstream(config) << "[metrics]\nlisten = \"" << test.listen << "\"\n";
    const auto ended = Run(spec, {.timeout = std::chrono::seconds(60)});
    REQUIRE(ended.ok());
    INFO(ended->err);
    CHECK(ended->exit_code == 1);
    CHECK_THAT(ended->err, Catch::Contains(test.says));
  }
}

}  // namespace
}  // namespace claw::test
