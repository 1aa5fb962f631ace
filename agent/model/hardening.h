#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/model/mac.h"

namespace claw {

// One setting of the kernel as it was found.
struct KernelSetting {
  enum class State {
    kUnreadable,  // it may be anything
    kAbsent,      // this kernel has no such setting
    kRead,
  };
  State state = State::kUnreadable;
  std::string value{};  // trimmed; why not, if it could not be read

  bool operator==(const KernelSetting&) const = default;
};

// One of the agent's folders.
struct FolderFacts {
  std::string path{};
  bool exists = false;
  uint32_t mode = 0;  // the permission bits
  uint32_t uid = 0;   // of its owner
  int64_t free_bytes = 0;

  bool operator==(const FolderFacts&) const = default;
};

// What isolation rests on beyond the runtimes: settings of this machine, read when asked for.
struct MachineFacts {
  std::string os{};  // "linux", "darwin"
  // By their names in sysctl(8): "kernel.kptr_restrict".
  std::map<std::string, KernelSetting> settings{};
  KernelSetting lockdown{};                // "none", "integrity", "confidentiality"
  std::vector<std::string> controllers{};  // of cgroups, those that are on
  bool swap_on = false;
  std::optional<bool> swap_is_accounted{};      // absent: not known
  std::optional<bool> clock_is_synchronised{};  // absent: not known
  FolderFacts state_dir{};
  FolderFacts run_dir{};
  std::optional<MacFacts> mac{};  // of a Mac

  bool operator==(const MachineFacts&) const = default;
};

enum class CheckOutcome { kPassed, kWarning, kFailed };

// What the agent asks of the node it runs on, and what it found. See NodeCheck in the API.
struct NodeCheck {
  std::string id{};     // stable: "kernel.unprivileged-bpf"
  std::string title{};  // a statement: "unprivileged users cannot load BPF programs"
  CheckOutcome outcome = CheckOutcome::kFailed;
  std::string evidence{};
  std::string fix{};  // empty: it passed
  bool for_hardened = false;

  bool operator==(const NodeCheck&) const = default;
};

}  // namespace claw
