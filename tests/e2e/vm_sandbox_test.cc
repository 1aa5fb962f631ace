// Sandboxes in an arm64 guest of an x86-64 host, under emulation: placed there because nothing else
// runs their architecture, in gVisor, and the right record after each of the three that matter was
// killed.

#include "tests/e2e/vm_agent.h"
#include "tests/support/image_maker.h"

namespace claw::test {
namespace {

namespace fs = std::filesystem;

constexpr char kMore[] =
    "idle_seconds = 5\n\n[node]\nmemory = \"3Gi\"\n\n[placement]\nallow_emulated = true\n\n"
    "[reserves]\nsystem = \"64Mi\"\nagent = \"64Mi\"\neviction = \"64Mi\"\n";

// busybox for arm64, from the packages that the guest image was made of.
ImageSpec ArmImage() {
  const std::vector<std::string> packages =
      ListDirectory(StrCat(CLAW_SOURCE_DIR, "/build/guest-packages")).value();
  for (const std::string& file : packages) {
    if (!file.starts_with("busybox-static_")) continue;
    const TempDir unpacked;
    const auto done =
        Run({.argv = {"dpkg-deb", "-x", StrCat(CLAW_SOURCE_DIR, "/build/guest-packages/", file),
                      unpacked.path().string()},
             .env = {"PATH=/usr/bin:/bin"}},
            {});
    REQUIRE(done.ok());
    REQUIRE(done->exit_code == 0);
    ImageSpec image = BusyboxImage();
    image.architecture = "arm64";
    for (TarEntry& entry : image.layers[0].entries) {
      if (entry.name == "bin/busybox") entry.content = ReadBytes(unpacked.path() / "bin/busybox");
    }
    return image;
  }
  FAIL("there is no busybox for arm64; run tools/guest-image build");
  return {};
}

class SandboxAgent : public VmAgent {
 public:
  SandboxAgent() : VmAgent("pool-1", kMore) {
    const fs::path both = dir() / "both";
    const auto digests = WriteOciIndex(both, {BusyboxImage(), ArmImage()});
    native = digests[0];
    arm = digests[1];
    Must({"image", "import", StrCat("oci:", both.string(), ":v1"), "--name", "both:1"});
    WriteOciLayout(dir() / "amd", [] {
      ImageSpec image = BusyboxImage();
      image.process_json = R"({"Cmd":["/bin/sh","-c","true"],"Env":["PATH=/bin"]})";
      return image;
    }());
    Must({"image", "import", StrCat("oci:", (dir() / "amd").string(), ":v1"), "--name", "amd:1"});
    Must({"tenant", "add", "house", "--trust", "trusted"});
    Must({"tenant", "add", "guest"});
  }

  // Starting a VM and a sandbox in it takes minutes here.
  CommandResult Slow(std::vector<std::string> args, const std::string& input = "") const {
    args.insert(args.begin(), {"--timeout", "0"});
    return Ctl(std::move(args), input, kBoot);
  }
  std::string Detached(const std::string& script, const std::string& tenant = "guest") const {
    const CommandResult run = Slow({"run", "-d", "--image", arm, "--tenant", tenant, "--network",
                                    "none", "--memory", "64Mi", "--", "sh", "-c", script});
    INFO(run.err << log());
    REQUIRE(run.exit_code == 0);
    return std::string(Trim(run.out));
  }
  void AwaitLog(const std::string& id, const std::string& wanted) const {
    while (Ctl({"logs", id}).out.find(wanted) == std::string::npos) {
    }
  }
  void AwaitField(const std::string& id, const std::string& pointer,
                  const std::string& wanted) const {
    while (Field(id, pointer) != wanted) {
    }
  }

  std::string native;
  std::string arm;
};

TEST_CASE("an untrusted arm64 sandbox runs in a VM that comes for it, and survives what dies",
          "[e2e][vm]") {
  SandboxAgent agent;

  // Both images of one name are here, each for its machine.
  const Json images = Json::parse(agent.Must({"image", "ls", "-o", "json"}));
  CHECK(images.at("items").size() == 3);

  // Tested in the guest, which is booted for that.
  const CommandResult tested = agent.Ctl(
      {"compat", "test", agent.arm, "--probe", "sh -c true", "--memory", "64Mi"}, "", kBoot);
  INFO(tested.err << agent.log() << agent.Ctl({"vm", "console", "pool-1"}).out);
  REQUIRE(tested.exit_code == 0);
  CHECK(agent.State() == "VM_STATE_RUNNING");

  // An image for amd64 alone is refused there, and explain says why.
  const Json explained = Json::parse(agent.Must(
      {"explain", "--image", "amd:1", "--tenant", "house", "--network", "none", "-o", "json"}));
  bool refused = false;
  for (const Json& target : explained.at("targets")) {
    if (target.value("target", "") != "vms/pool-1") continue;
    CHECK_FALSE(target.value("fits", false));
    const Json& first = target.at("constraints").at(0);
    refused = first.value("reason", "") == "ARCHITECTURE_MISMATCH";
    CHECK(first.value("problem", "").find("vms/pool-1 is arm64") != std::string::npos);
  }
  CHECK(refused);
  CHECK(agent.Ctl({"run", "--rm", "--image", "amd:1", "--tenant", "house", "--network", "none"})
            .exit_code == 0);

  // Placed there, in gVisor, and its output, input and exit code come through.
  const CommandResult ran = agent.Slow(
      {"run", "--rm", "-i", "--image", agent.arm, "--tenant", "guest", "--network", "none",
       "--memory", "64Mi", "--", "sh", "-c",
       "busybox uname -m; busybox dmesg | busybox head -1; busybox cat; echo err >&2; exit 7"},
      "from outside\n");
  INFO(ran.err << agent.log());
  CHECK(ran.exit_code == 7);
  CHECK(ran.out.find("aarch64") != std::string::npos);
  CHECK(ran.out.find("gVisor") != std::string::npos);
  CHECK(ran.out.find("from outside") != std::string::npos);
  CHECK(ran.err.find("err") != std::string::npos);

  // The host's agent dies.
  const std::string id =
      agent.Detached("echo ready; while ! test -e /go; do busybox sleep 1; done; exit 5");
  CHECK(agent.Field(id, "/target") == "vms/pool-1");
  CHECK(agent.Field(id, "/isolation_class") == "ISOLATION_CLASS_GVISOR");
  CHECK(agent.Field(id, "/runtime_proof").find("in a guest") != std::string::npos);
  agent.AwaitLog(id, "ready");
  agent.Kill9();
  agent.Start();
  agent.Await([](const Json& vm) { return vm.contains("guest"); });
  CHECK(agent.Field(id, "/state") == "SANDBOX_STATE_RUNNING");
  const CommandResult exec = agent.Slow({"exec", id, "--", "sh", "-c", "echo inside; exit 3"});
  INFO(exec.err);
  CHECK(exec.exit_code == 3);
  CHECK(exec.out == "inside\n");

  // The guest's agent dies: what runs there runs on, and its end is seen.
  REQUIRE(agent.Long({"restart-agent", "pool-1", "--force"}).exit_code == 0);
  CHECK(agent.Field(id, "/state") == "SANDBOX_STATE_RUNNING");
  REQUIRE(agent.Slow({"exec", id, "--", "busybox", "touch", "/go"}).exit_code == 0);
  agent.AwaitField(id, "/state", "SANDBOX_STATE_EXITED");
  CHECK(agent.Field(id, "/exit/exit_code") == "5");
  CHECK(agent.Must({"logs", id}) == "ready");

  // QEMU dies: what was in it is lost, and says so.
  const std::string victim = agent.Detached("echo ready; exec busybox sleep 1000");
  agent.AwaitLog(victim, "ready");
  const auto qemus = agent.Qemus();
  REQUIRE(qemus.size() == 1);
  REQUIRE(::kill(static_cast<pid_t>(qemus[0]), SIGKILL) == 0);
  agent.AwaitField(victim, "/state", "SANDBOX_STATE_LOST");
  CHECK(agent.Field(victim, "/exit/reason") == "END_REASON_HOST_RESTART");
  CHECK(agent.Field(victim, "/failure").find("pool-1") != std::string::npos);
  CHECK(agent.State() == "VM_STATE_LOST");
  agent.AwaitField(victim, "/released", "true");
  CHECK(agent.Charged() == 0);

  // The next one brings it back; what was left in it is gone, and memory moves when the host needs
  // it.
  const CommandResult back =
      agent.Slow({"run", "-d", "--image", agent.arm, "--tenant", "guest", "--network", "none",
                  "--memory", "64Mi", "--", "sh", "-c", "echo ready; exec busybox sleep 1000"});
  INFO(back.err << agent.log());
  REQUIRE(back.exit_code == 0);
  CHECK(back.err.find("vms/pool-1: ") != std::string::npos);
  const std::string last(Trim(back.out));
  agent.AwaitLog(last, "ready");
  const Json before = agent.Show();
  CHECK(std::stoll(before.at("guest").at("memory").value("charged_bytes", "0")) > 0);
  CHECK(before.at("guest").value("active_sandboxes", "") == "1");
  const std::string large = std::string(
      Trim(agent.Must({"run", "-d", "--image", agent.native, "--tenant", "house", "--network",
                       "none", "--memory", "1900Mi", "--", "busybox", "sleep", "1000"})));
  CHECK(agent.Field(large, "/target") == "host");
  const Json after = agent.Show();
  CHECK(std::stoll(after.at("memory").value("balloon_bytes", "0")) < kGuestMemory);
  CHECK(std::stoll(after.value("charged_bytes", "0")) <
        std::stoll(before.value("charged_bytes", "0")));
  CHECK(agent.Field(last, "/state") == "SANDBOX_STATE_RUNNING");
  // A guest that is full refuses.
  const CommandResult full =
      agent.Slow({"run", "--rm", "--image", agent.arm, "--tenant", "guest", "--network", "none",
                  "--memory", "600Mi", "--", "sh", "-c", "true"});
  CHECK(full.exit_code != 0);
  CHECK(full.err.find("node.memory.allocatable_bytes") != std::string::npos);

  // It drains, and goes.
  agent.Must({"rm", "--force", large});
  REQUIRE(agent.Long({"drain", "pool-1", "--reason", "the end"}).exit_code == 0);
  CHECK(agent.State() == "VM_STATE_RUNNING");
  agent.Must({"--timeout", "0", "rm", "--force", last});
  agent.Await([](const Json& vm) { return vm.value("state", "") == "VM_STATE_STOPPED"; });
  CHECK(agent.Qemus().empty());
  CHECK(agent.Charged() == 0);
}

}  // namespace
}  // namespace claw::test
