#include "agent/host/process.h"

#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "agent/base/bytes.h"
#include "agent/base/file.h"
#include "agent/base/strings.h"

namespace claw::host {
namespace {

std::string ProcPath(pid_t pid, std::string_view file) { return StrCat("/proc/", pid, "/", file); }

Status Gone(pid_t pid) { return NotFound("there is no living process ", pid); }

}  // namespace

StatusOr<ProcessIdentity> IdentifyProcess(pid_t pid, const std::string& boot_id) {
  const StatusOr<std::string> stat = ReadFile(ProcPath(pid, "stat"), 4096);
  if (!stat.ok()) return Gone(pid);
  // The name in parentheses may contain anything; the fields are counted from its end.
  const size_t name_end = stat->rfind(')');
  if (name_end == std::string::npos) return Gone(pid);
  const std::vector<std::string_view> fields =
      Split(Trim(std::string_view(*stat).substr(name_end + 1)), ' ');
  constexpr size_t kState = 0;
  constexpr size_t kStartTime = 19;  // field 22 of proc(5), and two are before the parenthesis
  if (fields.size() <= kStartTime || fields[kState] == "Z" || fields[kState] == "X") {
    return Gone(pid);
  }
  int64_t ticks = 0;
  if (!ParseInt(fields[kStartTime], &ticks)) return Gone(pid);
  return ProcessIdentity{
      .pid = pid, .start_ticks = static_cast<uint64_t>(ticks), .boot_id = boot_id};
}

bool IsAlive(const ProcessIdentity& process, const std::string& boot_id) {
  if (process.pid <= 0 || process.boot_id != boot_id) return false;
  const StatusOr<ProcessIdentity> now = IdentifyProcess(static_cast<pid_t>(process.pid), boot_id);
  return now.ok() && *now == process;
}

StatusOr<UniqueFd> OpenProcess(const ProcessIdentity& process, const std::string& boot_id) {
  const auto pid = static_cast<pid_t>(process.pid);
  UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!fd.valid()) return errno == ESRCH ? Gone(pid) : ErrnoError(errno, StrCat("pidfd ", pid));
  // Checked after the open: from here on the descriptor cannot come to mean another process.
  if (!IsAlive(process, boot_id)) return Gone(pid);
  return fd;
}

std::vector<std::string> CommandLine(pid_t pid) {
  std::vector<std::string> words;
  const StatusOr<std::string> text = ReadFile(ProcPath(pid, "cmdline"));
  if (!text.ok()) return words;
  for (std::string_view word : Split(*text, '\0')) words.emplace_back(word);
  if (!words.empty() && words.back().empty()) words.pop_back();
  return words;
}

std::string Executable(pid_t pid) {
  std::error_code error;
  const auto target = std::filesystem::read_symlink(ProcPath(pid, "exe"), error);
  return error ? std::string() : target.string();
}

StatusOr<std::string> StatusField(pid_t pid, std::string_view field) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(ProcPath(pid, "status")));
  const std::string key = StrCat(field, ":");
  for (std::string_view line : Split(text, '\n')) {
    if (line.starts_with(key)) return std::string(Trim(line.substr(key.size())));
  }
  return NotFound("process ", pid, " has no status field ", field);
}

StatusOr<int64_t> PrivateBytes(const ProcessIdentity& process) {
  const auto pid = static_cast<pid_t>(process.pid);
  const StatusOr<std::string> rollup = ReadFile(ProcPath(pid, "smaps_rollup"), 4096);
  const StatusOr<std::string> tables = StatusField(pid, "VmPTE");
  if (!rollup.ok() || !tables.ok()) return Gone(pid);
  int64_t kib = 0;
  // Clean pages are those of its program file, which the kernel can take back.
  const auto add = [&kib](std::string_view value) {
    const std::vector<std::string_view> words = Split(value, ' ', true);
    int64_t amount = 0;
    if (!words.empty() && ParseInt(words[0], &amount)) kib += amount;
  };
  constexpr std::string_view kKey = "Private_Dirty:";
  for (const std::string_view line : Split(*rollup, '\n', true)) {
    if (line.starts_with(kKey)) add(line.substr(kKey.size()));
  }
  add(*tables);
  return kib * kKiB;
}

StatusOr<ino_t> NamespaceId(pid_t pid, const std::string& name) {
  struct stat info {};
  if (::stat(ProcPath(pid, StrCat("ns/", name)).c_str(), &info) != 0) {
    return ErrnoError(errno, StrCat("namespace ", name, " of ", pid));
  }
  return info.st_ino;
}

}  // namespace claw::host
