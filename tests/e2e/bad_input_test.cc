#include <sys/mount.h>

#include <catch2/catch.hpp>

#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "tests/e2e/agent.h"

namespace claw::test {
namespace {

bool Mentions(const CommandResult& result, std::string_view text) {
  return result.err.find(text) != std::string::npos;
}

TEST_CASE("bad input gets a clear error and leaves nothing behind", "[e2e]") {
  Agent agent;
  agent.Furnish();
  const auto run = [&agent](std::vector<std::string> more, const std::string& tenant = "guest") {
    std::vector<std::string> args = {"run", "--tenant", tenant};
    args.insert(args.end(), more.begin(), more.end());
    return agent.Ctl(args);
  };
  const auto clean = [&agent] {
    return agent.Must({"ps", "-a", "-q"}).empty() && agent.Leftovers().empty();
  };

  CommandResult result = run({"--image", "nowhere", "--", "true"});
  CHECK(result.exit_code != 0);
  CHECK(Mentions(result, "nowhere"));
  result = run({"--image", "busybox", "--", "true"}, "nobody");
  CHECK(result.exit_code != 0);
  CHECK(Mentions(result, "tenant"));
  for (const char* memory : {"-1", "1", "99999999999Ti", "lots", "9223372036854775807"}) {
    INFO(memory);
    result = run({"--image", "busybox", StrCat("--memory=", memory), "--", "true"});
    CHECK(result.exit_code != 0);
    CHECK_FALSE(result.err.empty());
  }
  for (const char* name : {"Upper", "-x", "a/b", "..", "a b"}) {
    INFO(name);
    CHECK(run({"--image", "busybox", StrCat("--name=", name), "--", "true"}).exit_code != 0);
    CHECK(agent.Ctl({"tenant", "add", "--", name}).exit_code != 0);
  }
  for (const char* tenant : {"house", "guest"}) {
    INFO(tenant);
    result = run({"--image", "busybox", "--", "no-such-program"}, tenant);
    CHECK(result.exit_code == 125);
    CHECK(Mentions(result, "executed"));
    CHECK(run({"--image", "busybox", "--mount", "/no/such:/x", "--", "true"}, tenant).exit_code ==
          125);
    CHECK(run({"--image", "busybox", "--mount", "/tmp:/proc/x", "--", "true"}, tenant).exit_code ==
          125);
  }
  CHECK(agent.Ctl({"image", "pull", "127.0.0.1:1/x/y:z", "--insecure"}).exit_code != 0);
  CHECK(agent.Ctl({"image", "import", "rootfs:/no/such/folder"}).exit_code != 0);
  CHECK(agent.Ctl({"inspect", "nothing"}).exit_code == 3);
  CHECK(clean());
}

TEST_CASE("without runsc nothing untrusted runs, and nothing weaker takes it", "[e2e]") {
  Agent agent({.config = "[drivers.gvisor]\npath = \"/no/such/runsc\"\n", .gvisor_works = false});
  agent.Furnish();
  CHECK(agent.Must({"run", "--tenant", "house", "--image", "busybox", "--", "echo", "fine"}) ==
        "fine");
  const CommandResult refused = agent.Ctl(
      {"run", "--name", "x", "--tenant", "guest", "--image", "busybox", "--", "echo", "ran"});
  CHECK(refused.exit_code == 125);
  CHECK(refused.out.empty());
  CHECK(Mentions(refused, "gvisor"));
  CHECK(agent.Ctl({"inspect", "x"}).exit_code == 3);
  CHECK(agent.Must({"status"}).find("runsc") != std::string::npos);
}

TEST_CASE("a runtime that was swapped behind the agent's back is found out", "[e2e]") {
  TempDir bin;
  const std::filesystem::path runsc = bin.path() / "runsc";
  const std::filesystem::path aside = bin.path() / "aside";
  std::filesystem::copy_file("/usr/bin/runsc", runsc);
  Agent agent({.config = StrCat("[drivers.gvisor]\npath = \"", runsc.string(), "\"\n")});
  agent.Furnish();
  const std::vector<std::string> start = {"run",     "--name",  "x",  "--tenant", "guest",
                                          "--image", "busybox", "--", "echo",     "ran"};
  CHECK(agent.Must(start) == "ran");
  agent.Must({"rm", "x"});
  // A container runtime in gVisor's place, which takes gVisor's flags and ignores them.
  std::filesystem::rename(runsc, aside);
  REQUIRE(WriteFileAtomic(runsc,
                          "#!/bin/bash\nargs=()\nfor a in \"$@\"; do case \"$a\" in "
                          "--platform=*|--network=*) ;; *) args+=(\"$a\") ;; esac; done\n"
                          "exec runc \"${args[@]}\"\n",
                          0755)
              .ok());
  const CommandResult refused = agent.Ctl(start);
  CHECK(refused.exit_code == 125);
  CHECK(refused.out.empty());
  CHECK(Mentions(refused, "RUNTIME_MISSING"));
  CHECK(Mentions(refused, "not what was promised"));
  CHECK(agent.Ctl({"inspect", "x"}).exit_code == 3);
  CHECK(agent.Must({"events"}).find("driver.unhealthy") != std::string::npos);
  CHECK(agent.Leftovers().empty());
  // Without a restart, and without another test of the image: it is the version that was tested.
  std::filesystem::rename(aside, runsc);
  CHECK(agent.Must(start) == "ran");
}

TEST_CASE("a full state disk refuses starts and loses nothing", "[e2e]") {
  TempDir disk;
  REQUIRE(::mount("none", disk.path().c_str(), "tmpfs", 0, "size=320m,mode=711") == 0);
  {
    Agent agent({.state_dir = disk.path() / "state"});
    agent.Furnish();
    agent.Must({"run", "-d", "--name", "before", "--tenant", "guest", "--image", "busybox", "--",
                "sleep", "1000"});
    const std::filesystem::path filler = disk.path() / "filler";
    Run({.argv = {"dd", "if=/dev/zero", StrCat("of=", filler.string()), "bs=1M"}}).IgnoreError();
    const CommandResult refused = agent.Ctl(
        {"run", "-d", "--name", "during", "--tenant", "guest", "--image", "busybox", "--", "true"});
    CHECK(refused.exit_code == 125);
    CHECK(agent.Ctl({"inspect", "during"}).exit_code == 3);
    CHECK(agent.Field("before", "/state") == "SANDBOX_STATE_RUNNING");
    std::filesystem::remove(filler);
    CHECK(agent.Must({"run", "--name", "after", "--tenant", "guest", "--image", "busybox", "--",
                      "echo", "again"}) == "again");
  }
  ::umount2(disk.path().c_str(), MNT_DETACH);
}

}  // namespace
}  // namespace claw::test
