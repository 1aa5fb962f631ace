#include <algorithm>

#include "agent/base/bytes.h"
#include "agent/base/strings.h"
#include "agent/policy/hardening.h"

namespace claw::policy {
namespace {

constexpr int64_t kGvisorPageBytes = 4096;
constexpr int64_t kLowDiskBytes = kGiB;      // an image or two
constexpr int64_t kNoDiskBytes = 64 * kMiB;  // the store needs room to record what happens

NodeCheck Check(std::string id, std::string title, CheckOutcome otherwise, bool passed,
                std::string evidence, std::string fix) {
  return {.id = std::move(id),
          .title = std::move(title),
          .outcome = passed ? CheckOutcome::kPassed : otherwise,
          .evidence = std::move(evidence),
          .fix = passed ? std::string() : std::move(fix),
          .for_hardened = false};
}

std::string Octal(uint32_t mode) {
  std::string digits;
  for (int shift = 9; shift >= 0; shift -= 3) {
    digits += static_cast<char>('0' + (mode >> static_cast<unsigned>(shift) & 7u));
  }
  return digits;
}

void CheckFolders(const MachineFacts& machine, std::vector<NodeCheck>& checks) {
  const FolderFacts& state = machine.state_dir;
  const FolderFacts& run = machine.run_dir;
  checks.push_back(Check("folder.state", "others cannot look into the state folder",
                         CheckOutcome::kFailed,
                         state.exists && (state.mode & 0077) == 0 && state.uid == 0,
                         StrCat(state.path, state.exists ? " has mode " : " is not there",
                                state.exists ? Octal(state.mode) : "", ", owner ", state.uid),
                         StrCat("chown root ", state.path, "; chmod 0700 ", state.path)));
  // Runtimes walk it as the sandbox's mapped root.
  checks.push_back(Check("folder.run", "sandboxes can pass through the run folder, and only that",
                         CheckOutcome::kFailed,
                         run.exists && (run.mode & 0027) == 0001 && run.uid == 0,
                         StrCat(run.path, run.exists ? " has mode " : " is not there",
                                run.exists ? Octal(run.mode) : "", ", owner ", run.uid),
                         StrCat("chown root ", run.path, "; chmod 0711 ", run.path)));
  checks.push_back(
      Check("disk.state", "the disk of the state folder has room",
            state.free_bytes < kNoDiskBytes ? CheckOutcome::kFailed : CheckOutcome::kWarning,
            state.free_bytes >= kLowDiskBytes, StrCat(FormatBytes(state.free_bytes), " are free"),
            "`clawctl node image gc` removes images that nothing uses"));
}

void CheckMemory(const MachineFacts& machine, std::vector<NodeCheck>& checks) {
  std::vector<std::string> missing;
  for (const char* controller : {"memory", "cpu", "pids"}) {
    if (std::find(machine.controllers.begin(), machine.controllers.end(), controller) ==
        machine.controllers.end()) {
      missing.emplace_back(controller);
    }
  }
  checks.push_back(Check(
      "cgroup.controllers", "cgroups limit memory, CPU and processes", CheckOutcome::kFailed,
      missing.empty(),
      missing.empty() ? std::string("all three are on") : StrCat("not on: ", Join(missing, ", ")),
      "boot without cgroup_disable=, with cgroup_enable=memory"));
  const bool counted = machine.swap_is_accounted.value_or(false);
  const bool safe = !machine.swap_on || counted;
  checks.push_back(Check(
      "cgroup.swap", "swap counts against the limit of its sandbox", CheckOutcome::kWarning, safe,
      StrCat(machine.swap_on ? "swap is on" : "swap is off", counted ? " and is counted" : ""),
      "boot with swapaccount=1, or swapoff -a"));
}

}  // namespace

std::vector<NodeCheck> CheckNode(const NodeFacts& facts) {
  std::vector<NodeCheck> checks;
  for (const DriverFacts& driver : facts.drivers) {
    checks.push_back(
        Check(StrCat("driver.", driver.name), StrCat("driver ", driver.name, " runs sandboxes"),
              CheckOutcome::kFailed, driver.healthy,
              driver.healthy ? std::string("it started one of its own") : driver.message,
              "mend what the evidence says and restart the agent, or turn the driver "
              "off in [drivers]"));
    if (driver.isolation == IsolationClass::kGvisor) {
      checks.push_back(Check("memory.page-size", "memory has pages that gVisor can use",
                             CheckOutcome::kFailed, facts.page_size_bytes == kGvisorPageBytes,
                             StrCat(facts.page_size_bytes, " bytes"),
                             "boot a kernel with pages of 4 KiB"));
    }
  }
  checks.push_back(Check("store.writes", "the store takes writes", CheckOutcome::kFailed,
                         facts.store_problem.empty(),
                         facts.store_problem.empty() ? std::string("one was made and is durable")
                                                     : facts.store_problem,
                         "see whether the disk of the state folder is full or read-only"));
  const auto add = [&checks](std::vector<NodeCheck> more) {
    for (NodeCheck& check : more) checks.push_back(std::move(check));
  };
  if (facts.vms) add(CheckVms(*facts.vms));
  if (!facts.machine.ok()) return checks;
  if (facts.machine->mac) {
    if (!facts.vms) {
      checks.push_back(Check("vm.enabled", "VMs, the only targets of a Mac, are turned on",
                             CheckOutcome::kFailed, false, "vm.enabled is false",
                             "set vm.enabled = true in the config and restart clawlet"));
    }
    add(CheckMac(*facts.machine->mac, facts.vms && facts.vms->hypervisor_problem.empty()));
    CheckFolders(*facts.machine, checks);
  }
  if (facts.machine->os != "linux") return checks;
  CheckMemory(*facts.machine, checks);
  CheckFolders(*facts.machine, checks);
  const std::optional<bool>& clock = facts.machine->clock_is_synchronised;
  // Overrides expire by this clock.
  checks.push_back(Check("time.synchronised", "the clock is kept right", CheckOutcome::kWarning,
                         clock.value_or(false),
                         !clock ? std::string("not known")
                                : std::string(*clock ? "the kernel says that it is synchronised"
                                                     : "the kernel says that nobody sets it"),
                         "run chrony or another NTP client"));
  return checks;
}

}  // namespace claw::policy
