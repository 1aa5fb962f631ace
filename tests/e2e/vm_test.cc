// An x86-64 host boots an arm64 guest through libvirt, under emulation: the whole way, with the
// image that tools/guest-image made.

#include "tests/e2e/vm_agent.h"

namespace claw::test {
namespace {

namespace fs = std::filesystem;

TEST_CASE("a guest boots, is charged, survives its host's agent, and is known when it dies",
          "[e2e][vm]") {
  VmAgent agent("mac1");
  const CommandResult image = agent.Ctl({"vm", "image"});
  INFO(image.err);
  REQUIRE(image.exit_code == 0);
  CHECK(image.out.find("arm64") != std::string::npos);
  CHECK(agent.Must({"vm", "ls", "-o", "json"}).find("mac1") == std::string::npos);

  // Made and booted.
  REQUIRE(agent.Ctl({"vm", "create", "mac1"}).exit_code == 0);
  CHECK(agent.Charged() == 0);
  const CommandResult started = agent.Long({"start", "mac1"});
  INFO(started.err << agent.log() << agent.Ctl({"vm", "console", "mac1"}).out);
  REQUIRE(started.exit_code == 0);
  CHECK(started.err.find("waiting for the guest's agent") != std::string::npos);
  const Json vm = agent.Await([](const Json& seen) {
    return seen.contains("guest") && seen.at("guest").value("ready", false);
  });
  CHECK(vm.value("state", "") == "VM_STATE_RUNNING");
  CHECK(vm.at("guest").value("architecture", "") == "arm64");
  CHECK(vm.at("guest").value("page_size_bytes", "") == "4096");
  CHECK(vm.value("emulated", false));
  // The two ledgers: the host is charged all of it, the guest hands out some of that.
  CHECK(agent.Charged() == kGuestMemory + std::stoll(vm.value("overhead_bytes", "0")));
  const int64_t total = std::stoll(vm.at("memory").value("guest_total_bytes", "0"));
  CHECK(total > kGuestMemory / 2);
  CHECK(total <= kGuestMemory);
  const int64_t capacity = std::stoll(vm.at("guest").at("memory").value("capacity_bytes", "0"));
  CHECK(capacity == total);
  CHECK(std::stoll(vm.at("memory").value("resident_bytes", "0")) > 0);
  CHECK(std::stoll(vm.at("memory").value("resident_bytes", "0")) < agent.Charged());
  const std::string console = agent.Must({"vm", "console", "mac1"});
  CHECK(console.find("clawguest: starting the agent") != std::string::npos);
  const auto qemus = agent.Qemus();
  REQUIRE(qemus.size() == 1);

  // The host's agent dies; the guest runs on, and is found again.
  const std::string boot = vm.at("guest").value("boot_id", "");
  agent.Kill9();
  CHECK(agent.Qemus() == qemus);
  agent.Start();
  const Json again = agent.Await([](const Json& seen) { return seen.contains("guest"); });
  CHECK(again.value("state", "") == "VM_STATE_RUNNING");
  CHECK(again.at("guest").value("boot_id", "") == boot);
  CHECK(agent.Charged() == kGuestMemory + std::stoll(vm.value("overhead_bytes", "0")));
  CHECK(agent.Must({"events", "--subject", "vms/mac1"}).find("vm.adopted") != std::string::npos);

  // It stands still, and goes on with the right time.
  REQUIRE(agent.Long({"suspend", "mac1"}).exit_code == 0);
  CHECK(agent.State() == "VM_STATE_SUSPENDED");
  const CommandResult resumed = agent.Long({"start", "mac1"});
  INFO(resumed.err);
  REQUIRE(resumed.exit_code == 0);
  CHECK(agent.State() == "VM_STATE_RUNNING");
  CHECK(agent.Show().at("guest").value("boot_id", "") == boot);

  // QEMU dies: the VM is lost, and charged no longer.
  REQUIRE(::kill(static_cast<pid_t>(qemus[0]), SIGKILL) == 0);
  const Json lost =
      agent.Await([](const Json& seen) { return seen.value("state", "") == "VM_STATE_LOST"; });
  CHECK(lost.value("failure", "") == "went off without being told to");
  CHECK(agent.Charged() == 0);

  // Its disk is still there; it boots anew, drains and stops, as nothing runs in it.
  const CommandResult rebooted = agent.Long({"start", "mac1"});
  INFO(rebooted.err << agent.Ctl({"vm", "console", "mac1"}).out);
  REQUIRE(rebooted.exit_code == 0);
  CHECK(agent.Show().at("guest").value("boot_id", "") != boot);
  CHECK(agent.Must({"vm", "console", "mac1"}).find("state on /dev/vd") != std::string::npos);
  const CommandResult drained = agent.Long({"drain", "mac1", "--reason", "the end"});
  INFO(drained.err);
  REQUIRE(drained.exit_code == 0);
  CHECK(agent.State() == "VM_STATE_STOPPED");
  CHECK(agent.Must({"vm", "console", "mac1"}).find("powering off") != std::string::npos);
  CHECK(agent.Qemus().empty());
  CHECK(agent.Charged() == 0);
  REQUIRE(agent.Ctl({"vm", "rm", "mac1"}).exit_code == 0);
  CHECK_FALSE(fs::exists(agent.state_dir() / "vms/mac1"));
}

}  // namespace
}  // namespace claw::test
