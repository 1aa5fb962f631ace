#include <catch2/catch.hpp>

#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "tests/e2e/agent.h"

namespace claw::test {
namespace {

TEST_CASE("a trusted program runs in runc and an untrusted one in gVisor", "[e2e]") {
  Agent agent;
  agent.Furnish();

  SECTION("each sees the kernel of its class, and the record says so") {
    const std::string trusted = agent.Must({"run", "--name", "t", "--tenant", "house", "--image",
                                            "busybox", "--", "cat", "/proc/version"});
    const std::string untrusted = agent.Must({"run", "--name", "u", "--tenant", "guest", "--image",
                                              "busybox", "--", "cat", "/proc/version"});
    CHECK(trusted == Trim(ReadFile("/proc/version").value()));  // the host's own
    CHECK(untrusted.find("Linux version 4.4.0") == 0);          // what gVisor says it is
    CHECK(agent.Field("t", "/isolation_class") == "ISOLATION_CLASS_CONTAINER");
    CHECK(agent.Field("u", "/isolation_class") == "ISOLATION_CLASS_GVISOR");
    CHECK(agent.Field("u", "/runtime_proof").find("gVisor") != std::string::npos);
    CHECK(agent.Field("u", "/resources/memory/workload_bytes") == "134217728");
    const int64_t overhead = std::stoll(agent.Field("u", "/resources/memory/overhead_bytes"));
    CHECK(overhead > 0);
    CHECK(agent.Field("u", "/resources/memory/cgroup_max_bytes") == StrCat(134217728 + overhead));
  }

  SECTION("the exit code of run is the program's, its output and errors are kept apart") {
    for (const char* tenant : {"house", "guest"}) {
      const CommandResult result =
          agent.Ctl({"run", "--rm", "--tenant", tenant, "--image", "busybox", "--", "sh", "-c",
                     "echo out; echo err >&2; exit 42"});
      CHECK(result.exit_code == 42);
      CHECK(result.out == "out\n");
      CHECK(result.err.find("err\n") != std::string::npos);
    }
  }

  SECTION("the tenant sees the memory it bought, not the padded limit") {
    const std::string free = agent.Must({"run", "--tenant", "guest", "--memory", "64Mi", "--image",
                                         "busybox", "--", "sh", "-c", "free | head -2 | tail -1"});
    CHECK(free.find("65536") != std::string::npos);
  }

  SECTION("standard input, environment, mounts and the working directory arrive") {
    const std::filesystem::path shared = agent.dir() / "shared";
    std::filesystem::create_directory(shared);
    std::filesystem::permissions(shared, std::filesystem::perms(0755));
    for (const char* tenant : {"house", "guest"}) {
      INFO(tenant);
      CHECK(agent.Must({"run", "-i", "--tenant", tenant, "--image", "busybox", "--env", "A=b c",
                        "--workdir", "/tmp", "--", "sh", "-c", "cat; echo $A; pwd"},
                       "hello\n") == "hello\nb c\n/tmp");
      const std::string at = shared.string() + ":/data";
      CHECK(agent.Must({"run", "--tenant", tenant, "--image", "busybox", "--mount", at + ":rw",
                        "--", "sh", "-c",
                        "echo x > /data/" + std::string(tenant) + "; cat /data/" + tenant}) == "x");
      CHECK(std::filesystem::exists(shared / tenant));
      const CommandResult refused =
          agent.Ctl({"run", "--tenant", tenant, "--image", "busybox", "--mount", at, "--", "sh",
                     "-c", "echo x > /data/no"});
      CHECK(refused.exit_code != 0);
      CHECK_FALSE(std::filesystem::exists(shared / "no"));
    }
  }

  SECTION("detached: ps, logs, exec, top, wait, stop, rm") {
    for (const char* tenant : {"house", "guest"}) {
      INFO(tenant);
      const std::string id = agent.Must(
          {"run", "-d", "--name", "bg", "--tenant", tenant, "--image", "busybox", "--", "sh", "-c",
           "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.1; done"});
      CHECK(id.size() == 16);
      CHECK(agent.Must({"ps"}).find("bg") != std::string::npos);
      CHECK(agent.Ctl({"exec", "bg", "--", "sh", "-c", "echo in; exit 3"}).exit_code == 3);
      CHECK(agent.Must({"exec", "-i", "bg", "--", "cat"}, "text") == "text");
      CHECK(agent.Must({"top", "--once"}).find("bg") != std::string::npos);
      CHECK(agent.Ctl({"rm", "bg"}).exit_code != 0);
      agent.Must({"stop", "bg"});
      CHECK(agent.Field("bg", "/exit/reason") == "END_REASON_STOPPED");
      CHECK(agent.Field("bg", "/exit/exit_code") == "5");
      CHECK(agent.Ctl({"wait", "bg"}).exit_code == 5);
      CHECK(agent.Must({"logs", "bg"}) == "up\nbye");
      agent.Must({"rm", "bg"});
      CHECK(agent.Must({"ps", "-a"}).find("bg") == std::string::npos);
    }
  }

  SECTION("a container of the trusted class is confined") {
    const std::string seen =
        agent.Must({"run", "--tenant", "house", "--image", "busybox", "--", "sh", "-c",
                    "cat /proc/self/uid_map; grep -E 'Seccomp:|NoNewPrivs|CapBnd' "
                    "/proc/self/status; "
                    "mount -t tmpfs x /tmp 2>/dev/null || echo no mount; "
                    "ls /sys/class/net; true"});
    CHECK(seen.find("Seccomp:\t2") != std::string::npos);
    CHECK(seen.find("NoNewPrivs:\t1") != std::string::npos);
    CHECK(seen.find("no mount\n") != std::string::npos);
    CHECK(seen.find("lo") != std::string::npos);
    CHECK(seen.find("eth") == std::string::npos);
    const std::vector<std::string_view> map = Split(Split(seen, '\n').front(), ' ', true);
    REQUIRE(map.size() == 3);
    CHECK(map[1] != "0");
  }
}

TEST_CASE("a tenant that loses its trust loses its containers, and what is untested does not run",
          "[e2e]") {
  Agent agent;
  agent.Furnish();
  agent.Must({"run", "-d", "--name", "plain", "--tenant", "house", "--image", "busybox", "--",
              "sleep", "1000"});
  CHECK(agent.Field("plain", "/decision/rule") == "trusted-container");
  agent.Must({"tenant", "set", "house", "--trust", "untrusted"});
  CHECK(agent.Field("plain", "/exit/reason") == "END_REASON_REVOKED");
  CHECK(agent.Must({"run", "--tenant", "house", "--image", "busybox", "--", "cat", "/proc/version"})
            .find("Linux version 4.4.0") == 0);
  agent.Must({"compat", "rm", "busybox"});
  const CommandResult refused =
      agent.Ctl({"run", "--tenant", "guest", "--image", "busybox", "--", "true"});
  CHECK(refused.exit_code == 125);
  CHECK(refused.err.find("clawctl node compat test busybox") != std::string::npos);
}

}  // namespace
}  // namespace claw::test
