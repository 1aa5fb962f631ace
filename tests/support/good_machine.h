#pragma once

#include "agent/base/bytes.h"
#include "agent/model/hardening.h"

namespace claw::test {

inline KernelSetting Setting(std::string value) {
  return {.state = KernelSetting::State::kRead, .value = std::move(value)};
}

// One on which every check passes, for a standard node and for a hardened one.
inline MachineFacts GoodMachine() {
  MachineFacts facts;
  facts.os = "linux";
  facts.settings = {
      {"fs.protected_fifos", Setting("2")},
      {"fs.protected_hardlinks", Setting("1")},
      {"fs.protected_regular", Setting("2")},
      {"fs.protected_symlinks", Setting("1")},
      {"fs.suid_dumpable", Setting("0")},
      {"kernel.core_pattern", Setting("core")},
      {"kernel.dmesg_restrict", Setting("1")},
      {"kernel.io_uring_disabled", Setting("2")},
      {"kernel.kexec_load_disabled", Setting("1")},
      {"kernel.kptr_restrict", Setting("2")},
      {"kernel.modules_disabled", Setting("1")},
      {"kernel.perf_event_paranoid", Setting("3")},
      {"kernel.unprivileged_bpf_disabled", Setting("2")},
      {"kernel.yama.ptrace_scope", Setting("1")},
      {"vm.unprivileged_userfaultfd", Setting("0")},
  };
  facts.lockdown = Setting("integrity");
  facts.controllers = {"cpu", "memory", "pids"};
  facts.swap_is_accounted = true;
  facts.clock_is_synchronised = true;
  facts.state_dir = {.path = "/state", .exists = true, .mode = 0700, .free_bytes = 10 * kGiB};
  facts.run_dir = {.path = "/run", .exists = true, .mode = 0711, .free_bytes = 10 * kGiB};
  return facts;
}

}  // namespace claw::test
