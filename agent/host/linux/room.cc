#include "agent/host/room.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>

#include "agent/base/bytes.h"
#include "agent/base/file.h"
#include "agent/base/strings.h"

namespace claw::host {
namespace {

StatusOr<int64_t> ReadNumber(const char* path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, 64));
  int64_t value = 0;
  if (!ParseInt(Trim(text), &value)) return DataLoss(path, " says '", text, "'");
  return value;
}

// "0.20 0.18 0.12 1/80 11206": the fourth is running/all.
StatusOr<int64_t> ReadTasks() {
  ASSIGN_OR_RETURN(const std::string text, ReadFile("/proc/loadavg", 256));
  const std::vector<std::string_view> words = Split(text, ' ', true);
  if (words.size() < 4) return DataLoss("/proc/loadavg has ", words.size(), " words");
  int64_t tasks = 0;
  if (!ParseInt(words[3].substr(words[3].find('/') + 1), &tasks)) {
    return DataLoss("/proc/loadavg says '", words[3], "'");
  }
  return tasks;
}

}  // namespace

StatusOr<HostRoom> ReadRoom(const std::filesystem::path& folder) {
  struct statvfs disk {};
  if (::statvfs(folder.c_str(), &disk) != 0)
    return ErrnoError(errno, StrCat("ask ", folder.string()));
  ASSIGN_OR_RETURN(const int64_t most_pids, ReadNumber("/proc/sys/kernel/pid_max"));
  ASSIGN_OR_RETURN(const int64_t most_threads, ReadNumber("/proc/sys/kernel/threads-max"));
  ASSIGN_OR_RETURN(const int64_t tasks, ReadTasks());
  return HostRoom{.free_disk_bytes = SaturatingMul(static_cast<int64_t>(disk.f_bavail),
                                                   static_cast<int64_t>(disk.f_frsize)),
                  .free_tasks = std::max<int64_t>(0, std::min(most_pids, most_threads) - tasks)};
}

}  // namespace claw::host
