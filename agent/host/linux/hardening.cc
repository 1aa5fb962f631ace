#include "agent/host/hardening.h"

#include <sys/timex.h>

#include <algorithm>

#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "agent/host/folder_facts.h"

namespace claw::host {
namespace fs = std::filesystem;
namespace {

constexpr int64_t kMaxFileBytes = 65536;

constexpr std::string_view kSettings[] = {
    "fs.protected_fifos",
    "fs.protected_hardlinks",
    "fs.protected_regular",
    "fs.protected_symlinks",
    "fs.suid_dumpable",
    "kernel.core_pattern",
    "kernel.dmesg_restrict",
    "kernel.io_uring_disabled",
    "kernel.kexec_load_disabled",
    "kernel.kptr_restrict",
    "kernel.modules_disabled",
    "kernel.perf_event_paranoid",
    "kernel.unprivileged_bpf_disabled",
    "kernel.yama.ptrace_scope",
    "vm.unprivileged_userfaultfd",
};

KernelSetting ReadSetting(const fs::path& file) {
  const StatusOr<std::string> text = ReadFile(file, kMaxFileBytes);
  if (text.ok()) return {.state = KernelSetting::State::kRead, .value = std::string(Trim(*text))};
  if (text.status().code() == StatusCode::kNotFound) {
    return {.state = KernelSetting::State::kAbsent};
  }
  return {.state = KernelSetting::State::kUnreadable,
          .value = std::string(text.status().message())};
}

// "none [integrity] confidentiality": the one in brackets is in force.
KernelSetting ReadLockdown(const fs::path& file) {
  KernelSetting setting = ReadSetting(file);
  const size_t open = setting.value.find('[');
  const size_t close = setting.value.find(']', open == std::string::npos ? 0 : open);
  if (open != std::string::npos && close != std::string::npos) {
    setting.value = setting.value.substr(open + 1, close - open - 1);
  }
  return setting;
}

// Lines are "NAME HIERARCHY CGROUPS ENABLED" under a heading.
std::vector<std::string> ReadControllers(const fs::path& file) {
  std::vector<std::string> names;
  const std::string text = ReadFile(file, kMaxFileBytes).value_or("");
  for (const std::string_view line : Split(text, '\n', true)) {
    std::string spaced(line);
    std::replace(spaced.begin(), spaced.end(), '\t', ' ');
    const std::vector<std::string_view> words = Split(spaced, ' ', true);
    if (words.size() == 4 && words[0].front() != '#' && words[3] == "1")
      names.emplace_back(words[0]);
  }
  return names;
}

std::optional<bool> SwapIsAccounted(const fs::path& cgroups) {
  std::error_code error;
  if (fs::exists(cgroups / "memory", error)) {
    return fs::exists(cgroups / "memory/memory.memsw.limit_in_bytes", error);
  }
  if (!fs::exists(cgroups / "cgroup.controllers", error)) return std::nullopt;
  // The root of v2 has no such file, only what is below it.
  for (fs::directory_iterator it(cgroups, error), end; !error && it != end; it.increment(error)) {
    if (fs::exists(it->path() / "memory.max", error)) {
      return fs::exists(it->path() / "memory.swap.max", error);
    }
  }
  return std::nullopt;
}

std::optional<bool> ClockIsSynchronised() {
  timex state{};  // no mode is set: it only asks
  const int answer = ::adjtimex(&state);
  if (answer < 0) return std::nullopt;
  return (state.status & STA_UNSYNC) == 0;
}

}  // namespace

StatusOr<MachineFacts> ReadMachineFacts(const FactsSource& source) {
  const fs::path sysctl = source.root / "proc/sys";
  std::error_code error;
  if (!fs::is_directory(sysctl / "kernel", error)) {
    return NotFound("there is no ", (sysctl / "kernel").string(), "; is /proc mounted?");
  }
  MachineFacts facts;
  facts.os = "linux";
  for (const std::string_view name : kSettings) {
    std::string path(name);
    std::replace(path.begin(), path.end(), '.', '/');
    facts.settings[std::string(name)] = ReadSetting(sysctl / path);
  }
  facts.lockdown = ReadLockdown(source.root / "sys/kernel/security/lockdown");
  facts.controllers = ReadControllers(source.root / "proc/cgroups");
  ASSIGN_OR_RETURN(const std::string swaps, ReadFile(source.root / "proc/swaps", kMaxFileBytes));
  facts.swap_on = Split(swaps, '\n', true).size() > 1;
  facts.swap_is_accounted = SwapIsAccounted(source.root / "sys/fs/cgroup");
  facts.clock_is_synchronised = ClockIsSynchronised();
  facts.state_dir = ReadFolderFacts(source.state_dir);
  facts.run_dir = ReadFolderFacts(source.run_dir);
  return facts;
}

}  // namespace claw::host
