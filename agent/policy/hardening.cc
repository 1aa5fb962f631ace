#include "agent/policy/hardening.h"

#include <algorithm>
#include <set>

#include "agent/base/strings.h"

namespace claw::policy {
namespace {

using State = KernelSetting::State;

enum class Absent { kIsFine, kIsNot };

// A number that a setting of the kernel has to have at least.
struct Wish {
  const char* id;
  const char* title;
  const char* setting;
  int64_t at_least;
  Absent absent;
  const char* absent_evidence;
  bool for_hardened;
};

// KSPP is the Kernel Self-Protection Project's list of recommended settings; "docs" is the kernel's
// Documentation/admin-guide/sysctl.
constexpr Wish kWishes[] = {
    // KSPP. eBPF's verifier has been the kernel's most fruitful source of escapes. 1 or 2 (docs).
    // Absent: a kernel without bpf().
    {"kernel.unprivileged-bpf", "unprivileged users cannot load BPF programs",
     "kernel.unprivileged_bpf_disabled", 1, Absent::kIsFine, "this kernel has no bpf()", true},
    // KSPP. Whoever is root for a moment must not replace the kernel. Absent: built without kexec.
    {"kernel.kexec", "the kernel cannot be replaced while it runs", "kernel.kexec_load_disabled", 1,
     Absent::kIsFine, "this kernel has no kexec", true},
    // The rest is depth: each is closed to sandboxes by seccomp, their namespaces or masked paths,
    // and serves against other users of the machine. Hence warnings.
    {"kernel.kptr-restrict", "addresses of the kernel are hidden", "kernel.kptr_restrict", 1,
     Absent::kIsNot, "", false},  // KSPP asks for 2
    {"kernel.dmesg-restrict", "the kernel's log is for root", "kernel.dmesg_restrict", 1,
     Absent::kIsNot, "", false},  // KSPP
    // Absent: no Yama in this kernel. ptrace needs the same user namespace and is refused by
    // seccomp.
    {"kernel.ptrace-scope", "processes cannot trace their neighbours", "kernel.yama.ptrace_scope",
     1, Absent::kIsNot, "this kernel has no Yama", false},  // KSPP
    {"kernel.perf-event-paranoid", "performance counters are for root",
     "kernel.perf_event_paranoid", 2, Absent::kIsFine, "this kernel has no perf_event_open()",
     false},  // KSPP asks for 3
    // Absent: before 6.6, where a kernel cannot turn it off.
    {"kernel.io-uring", "io_uring is off for unprivileged users", "kernel.io_uring_disabled", 1,
     Absent::kIsNot, "this kernel has no such setting", false},  // docs
    {"kernel.modules-disabled", "no module can be loaded any more", "kernel.modules_disabled", 1,
     Absent::kIsFine, "this kernel has no modules", false},  // KSPP
    {"fs.protected-symlinks", "links in shared folders are not followed", "fs.protected_symlinks",
     1, Absent::kIsNot, "", false},  // KSPP
    {"fs.protected-hardlinks", "nobody links to what is not theirs", "fs.protected_hardlinks", 1,
     Absent::kIsNot, "", false},  // KSPP
    {"fs.protected-fifos", "foreign pipes in shared folders are not opened", "fs.protected_fifos",
     1, Absent::kIsNot, "this kernel has no such setting", false},  // KSPP asks for 2
    {"fs.protected-regular", "foreign files in shared folders are not opened",
     "fs.protected_regular", 1, Absent::kIsNot, "this kernel has no such setting", false},  // KSPP
};

class Checker {
 public:
  explicit Checker(const NodeFacts& facts)
      : facts_(facts), hardened_(facts.node_class == NodeClass::kHardened) {}

  std::vector<NodeCheck> Run() {
    CheckDriver();
    if (hardened_) CheckSandboxes();
    if (!facts_.machine.ok()) {
      Add("kernel.settings", "the kernel's settings can be read", true, false,
          ToStd(facts_.machine.status().message()), "look for what keeps the agent from /proc/sys");
    } else {
      CheckMachine(*facts_.machine);
    }
    return std::move(checks_);
  }

 private:
  void Add(std::string_view id, std::string_view title, bool for_hardened, bool passed,
           std::string_view evidence, std::string_view fix) {
    NodeCheck check{.id = std::string(id),
                    .title = std::string(title),
                    .outcome = CheckOutcome::kPassed,
                    .evidence = std::string(evidence),
                    .for_hardened = for_hardened};
    if (!passed) {
      check.outcome = for_hardened && hardened_ ? CheckOutcome::kFailed : CheckOutcome::kWarning;
      check.fix = fix;
    }
    checks_.push_back(std::move(check));
  }

  void CheckDriver() {
    const auto driver =
        std::find_if(facts_.drivers.begin(), facts_.drivers.end(), [](const DriverFacts& found) {
          return found.isolation == IsolationClass::kLegacyHardened;
        });
    std::string missing;
    if (driver == facts_.drivers.end()) {
      missing = "there is no driver for legacy code";
    } else if (!driver->healthy) {
      missing = StrCat("driver ", driver->name, ": ", driver->message);
    }
    const auto proven = [&](std::string_view capability) {
      return missing.empty() && std::find(driver->capabilities.begin(), driver->capabilities.end(),
                                          capability) != driver->capabilities.end();
    };
    const auto add = [&](std::string_view id, std::string_view title, std::string_view capability) {
      const bool passed = proven(capability);
      const std::string evidence =
          passed ? StrCat("driver ", driver->name, " proved it with a sandbox of its own")
                 : (missing.empty() ? std::string("the driver does not claim it") : missing);
      Add(id, title, true, passed, evidence,
          "enable drivers.runc, and see what the check driver.legacy says");
    };
    add("legacy.user-namespace", "every legacy container has a user namespace of its own",
        "user-namespace");
    add("legacy.seccomp", "every legacy container runs under a seccomp filter", "seccomp");
    add("legacy.no-capabilities", "no legacy container has a capability", "no-capabilities");
    add("legacy.network", "the network is denied by default", "no-network");
  }

  void CheckSandboxes() {
    std::set<std::string> tenants;
    std::vector<std::string> mounted;
    std::vector<std::string> other;
    for (const SandboxFacts& sandbox : facts_.sandboxes) {
      tenants.insert(sandbox.tenant);
      if (sandbox.has_mounts) mounted.push_back(sandbox.id);
      if (sandbox.isolation != IsolationClass::kLegacyHardened) other.push_back(sandbox.id);
    }
    const std::vector<std::string> names(tenants.begin(), tenants.end());
    Add("node.one-tenant", "the node serves one tenant at a time", true, names.size() <= 1,
        names.empty() ? std::string("no tenant has sandboxes here") : Join(names, ", "),
        "remove the sandboxes of all tenants but one");
    Add("node.no-mounts", "no sandbox has a folder of the host", true, mounted.empty(),
        mounted.empty() ? std::string("none has") : Join(mounted, ", "), "remove these sandboxes");
    Add("node.legacy-only", "the node runs nothing but legacy code", true, other.empty(),
        other.empty() ? std::string("nothing else is here") : Join(other, ", "),
        "remove these sandboxes");
  }

  void CheckMachine(const MachineFacts& machine) {
    Add("node.linux", "the node runs Linux", true, machine.os == "linux", machine.os,
        "run legacy code on a Linux host of its own");
    if (machine.mac) return;  // nothing of a tenant's runs on it, save in guests
    for (const Wish& wish : kWishes) CheckWish(wish, Setting(machine, wish.setting));
    CheckCorePattern(Setting(machine, "kernel.core_pattern"));
    CheckExact("fs.suid-dumpable", "programs that gained rights leave no core dumps",
               "fs.suid_dumpable", Setting(machine, "fs.suid_dumpable"), Absent::kIsNot);  // KSPP
    CheckExact("vm.userfaultfd", "userfaultfd is off for unprivileged users",
               "vm.unprivileged_userfaultfd", Setting(machine, "vm.unprivileged_userfaultfd"),
               Absent::kIsFine);  // KSPP
    const bool locked = machine.lockdown.state == State::kRead && !machine.lockdown.value.empty() &&
                        machine.lockdown.value != "none";
    Add("kernel.lockdown", "the kernel is locked down, even against root", false, locked,
        locked ? machine.lockdown.value : "it is not",
        "boot with lockdown=integrity, or with Secure Boot");  // KSPP
    Add("memory.swap", "tenants' memory is not written to a disk", false, !machine.swap_on,
        machine.swap_on ? "swap is on" : "swap is off", "swapoff -a, or encrypt the swap");
  }

  static KernelSetting Setting(const MachineFacts& machine, const std::string& name) {
    const auto it = machine.settings.find(name);
    return it == machine.settings.end() ? KernelSetting{.value = "nobody read it"} : it->second;
  }

  void CheckWish(const Wish& wish, const KernelSetting& setting) {
    const std::string fix = StrCat("sysctl -w ", wish.setting, "=", wish.at_least,
                                   ", and a file in /etc/sysctl.d for the next boot");
    if (setting.state == State::kAbsent) {
      const std::string_view evidence(wish.absent_evidence);
      Add(wish.id, wish.title, wish.for_hardened, wish.absent == Absent::kIsFine,
          evidence.empty() ? std::string_view("this kernel has no such setting") : evidence,
          "a kernel that has it");
      return;
    }
    int64_t value = 0;
    const bool passed =
        setting.state == State::kRead && ParseInt(setting.value, &value) && value >= wish.at_least;
    Add(wish.id, wish.title, wish.for_hardened, passed, Evidence(wish.setting, setting), fix);
  }

  // Settings of which only 0 is good.
  void CheckExact(std::string_view id, std::string_view title, std::string_view name,
                  const KernelSetting& setting, Absent absent) {
    const bool passed = setting.state == State::kAbsent
                            ? absent == Absent::kIsFine
                            : setting.state == State::kRead && setting.value == "0";
    Add(id, title, false, passed, Evidence(name, setting), StrCat("sysctl -w ", name, "=0"));
  }

  // The kernel runs a program named there as the host's root, outside of every namespace, on what a
  // crashing sandbox hands it, and RLIMIT_CORE does not keep it from that (core(5)): a way out that
  // nothing inside of the sandbox closes. Handlers have been exploited (CVE-2025-5054,
  // CVE-2025-4598). '@' names a socket, since Linux 6.16. Required for that reason.
  void CheckCorePattern(const KernelSetting& setting) {
    const bool passed = setting.state == State::kAbsent ||
                        (setting.state == State::kRead && !setting.value.starts_with('|') &&
                         !setting.value.starts_with('@'));
    Add("kernel.core-pattern", "a crash in a sandbox starts no program of the host", true, passed,
        Evidence("kernel.core_pattern", setting), "sysctl -w kernel.core_pattern=core");
  }

  static std::string Evidence(std::string_view name, const KernelSetting& setting) {
    switch (setting.state) {
      case State::kRead:
        return StrCat(name, " is ", setting.value);
      case State::kAbsent:
        return StrCat("this kernel has no ", name);
      case State::kUnreadable:
        break;
    }
    return StrCat(name, " cannot be read: ", setting.value);
  }

  const NodeFacts& facts_;
  const bool hardened_;
  std::vector<NodeCheck> checks_;
};

}  // namespace

std::vector<NodeCheck> CheckHardening(const NodeFacts& facts) { return Checker(facts).Run(); }

std::string HardeningProblem(const NodeFacts& facts) {
  if (facts.node_class != NodeClass::kHardened) return "its config says standard";
  std::vector<std::string> problems;
  for (const NodeCheck& check : CheckHardening(facts)) {
    if (check.outcome != CheckOutcome::kFailed) continue;
    problems.push_back(StrCat("it is not so that ", check.title, " (", check.evidence, ")"));
  }
  return Join(problems, "; ");
}

}  // namespace claw::policy
