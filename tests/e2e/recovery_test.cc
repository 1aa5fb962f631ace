#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <fstream>
#include <map>

#include "agent/base/strings.h"
#include "tests/e2e/agent.h"

namespace claw::test {
namespace {

struct Box {
  std::string name;
  std::string tenant;
  int exit_code = -1;  // -1: goes on running
  int64_t pid = 0;
};

// Five of each class; two of each five end while the agent is dead, with codes of their own.
std::vector<Box> StartTen(Agent& agent, const std::filesystem::path& control) {
  std::vector<Box> boxes;
  for (const char* tenant : {"house", "guest"}) {
    for (int i = 0; i < 5; ++i) {
      Box box{.name = StrCat(tenant, "-", i), .tenant = tenant};
      if (i >= 3) box.exit_code = 20 + i + (box.tenant == "guest" ? 10 : 0);
      const std::string script =
          box.exit_code < 0
              ? "echo begin; while :; do test -e /control/go && echo after && break; sleep 0.1; "
                "done; exec sleep 1000"
              : StrCat(
                    "echo begin; while ! test -e /control/go; do sleep 0.1; done; echo end; exit ",
                    box.exit_code);
      agent.Must({"run", "-d", "--name", box.name, "--tenant", tenant, "--memory", "32Mi",
                  "--image", "busybox", "--mount", control.string() + ":/control", "--", "sh", "-c",
                  script});
      box.pid = std::stoll(agent.Field(box.name, "/pid"));
      boxes.push_back(box);
    }
  }
  return boxes;
}

TEST_CASE("a running sandbox that was removed stays removed over a restart", "[e2e]") {
  Agent agent;
  agent.Furnish();
  for (const char* tenant : {"house", "guest"}) {
    agent.Must({"run", "-d", "--tenant", tenant, "--memory", "32Mi", "--image", "busybox", "--name",
                tenant, "--", "sleep", "1000"});
    agent.Must({"rm", "--force", tenant});
  }
  agent.StopGracefully();
  agent.Start();
  CHECK(agent.Must({"ps", "--all", "--quiet"}).empty());
}

TEST_CASE("kill -9 of the agent harms no sandbox", "[e2e]") {
  Agent agent;
  agent.Furnish();
  const std::filesystem::path control = agent.dir() / "control";
  std::filesystem::create_directory(control);
  ::chmod(control.c_str(), 0755);
  const std::vector<Box> boxes = StartTen(agent, control);

  agent.Kill9();
  std::ofstream(control / "go") << "now";
  for (const Box& box : boxes) {
    if (box.exit_code >= 0) REQUIRE(AwaitProcessEnd(box.pid));
  }
  agent.Start();

  for (const Box& box : boxes) {
    INFO(box.name);
    if (box.exit_code < 0) {
      CHECK(agent.Field(box.name, "/state") == "SANDBOX_STATE_RUNNING");
      CHECK(agent.Field(box.name, "/pid") == StrCat(box.pid));
      CHECK(agent.Ctl({"exec", box.name, "--", "true"}).exit_code == 0);
      CHECK(agent.Must({"logs", box.name}) == "begin\nafter");
    } else {
      CHECK(agent.Ctl({"wait", box.name}).exit_code == box.exit_code);
      CHECK(agent.Field(box.name, "/state") == "SANDBOX_STATE_EXITED");
      CHECK(agent.Field(box.name, "/exit/exit_code") == StrCat(box.exit_code));
      CHECK(agent.Must({"logs", box.name}) == "begin\nend");
    }
  }
  const std::string events = agent.Must({"events"});
  size_t adopted = 0;
  for (std::string_view line : Split(events, '\n'))
    adopted += line.find("sandbox.adopted") != line.npos;
  CHECK(adopted == 6);
  // The destructor removes them all and checks that nothing is left.
}

TEST_CASE("a node that lost its database rebuilds from what runs", "[e2e]") {
  Agent agent;
  agent.Furnish();
  for (const char* tenant : {"house", "guest"}) {
    agent.Must({"run", "-d", "--name", StrCat("box-", tenant), "--tenant", tenant, "--image",
                "busybox", "--", "sh", "-c", "echo hello; exec sleep 1000"});
  }
  agent.Kill9();
  std::ofstream(agent.state_dir() / "clawlet.db", std::ios::trunc) << "this is no database";
  // With its write-ahead log SQLite would have it back.
  std::filesystem::remove(agent.state_dir() / "clawlet.db-wal");
  std::filesystem::remove(agent.state_dir() / "clawlet.db-shm");
  agent.Start();
  CHECK(agent.Must({"events"}).find("store.quarantined") != std::string::npos);
  for (const char* tenant : {"house", "guest"}) {
    const std::string name = StrCat("box-", tenant);
    CHECK(agent.Field(name, "/state") == "SANDBOX_STATE_RUNNING");
    CHECK(agent.Must({"logs", name}) == "hello");
  }
  CHECK(agent.Must({"tenant", "show", "house"}).find("trusted") != std::string::npos);
  CHECK(agent.Must({"tenant", "show", "guest"}).find("untrusted") != std::string::npos);
  // What is not known any more is not assumed: the image has to be tested again.
  const CommandResult refused =
      agent.Ctl({"run", "--tenant", "guest", "--image", "busybox", "--", "echo", "works"});
  CHECK(refused.exit_code == 125);
  CHECK(refused.err.find("clawctl node compat test busybox") != std::string::npos);
  agent.Must({"compat", "test", "busybox", "--probe", "true", "--memory", "32Mi"});
  CHECK(agent.Must({"run", "--tenant", "guest", "--image", "busybox", "--", "echo", "works"}) ==
        "works");
}

TEST_CASE("a killed supervisor is reported as lost and leaves nothing", "[e2e]") {
  Agent agent;
  agent.Furnish();
  for (const char* tenant : {"house", "guest"}) {
    agent.Must({"run", "-d", "--name", "victim", "--tenant", tenant, "--image", "busybox", "--",
                "sleep", "1000"});
    const std::string id = agent.Field("victim", "/name").substr(10);
    for (const std::string& left : agent.Leftovers()) {
      if (left.find("conmon") == std::string::npos || left.find(id) == std::string::npos) continue;
      // "process conmon … -P DIR/conmon.pid …"
      std::ifstream file(agent.state_dir() / "sandboxes" /
                         (std::string(tenant) == "house" ? "runc" : "gvisor") / id / "conmon.pid");
      pid_t pid = 0;
      file >> pid;
      REQUIRE(pid > 1);
      ::kill(pid, SIGKILL);
      break;
    }
    CHECK(agent.Ctl({"wait", "victim"}).exit_code != 0);
    CHECK(agent.Field("victim", "/state") == "SANDBOX_STATE_LOST");
    agent.Must({"rm", "victim"});
  }
}

TEST_CASE("the agent's own cgroup goes with it, unless sandboxes run in there", "[e2e]") {
  Agent agent;
  agent.Furnish();
  agent.Must({"run", "-d", "--name", "stays", "--tenant", "house", "--image", "busybox", "--",
              "sleep", "1000"});
  const std::string pid = agent.Field("stays", "/pid");
  agent.StopGracefully();
  CHECK(agent.HasOwnCgroup());
  agent.Start();
  CHECK(agent.Field("stays", "/state") == "SANDBOX_STATE_RUNNING");
  CHECK(agent.Field("stays", "/pid") == pid);
  agent.Must({"rm", "--force", "stays"});
  agent.StopGracefully();
  CHECK_FALSE(agent.HasOwnCgroup());
}

}  // namespace
}  // namespace claw::test
