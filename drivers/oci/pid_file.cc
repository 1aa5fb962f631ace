#include "drivers/oci/pid_file.h"

#include <poll.h>

#include <chrono>

#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "agent/model/resources.h"

namespace claw::drivers {
namespace {

constexpr auto kExecStartTimeout = std::chrono::seconds(10);
constexpr int kLookEveryMs = 2;

}  // namespace

StatusOr<pid_t> ReadPid(const std::filesystem::path& file) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(file, 64));
  int64_t pid = 0;
  if (!ParseInt(Trim(text), &pid) || pid <= 1 || pid > kMaxPidsMax) {
    return DataLoss(file.string(), " holds no pid");
  }
  return static_cast<pid_t>(pid);
}

StatusOr<pid_t> AwaitPid(const std::filesystem::path& file, int runtime) {
  const auto deadline = std::chrono::steady_clock::now() + kExecStartTimeout;
  bool last = false;
  while (true) {
    // Once more after the end: it may have written the file just before.
    StatusOr<pid_t> pid = ReadPid(file);
    if (pid.ok() || last) return pid;
    pollfd ended{runtime, POLLIN, 0};
    last = ::poll(&ended, 1, kLookEveryMs) != 0 || std::chrono::steady_clock::now() > deadline;
  }
}

}  // namespace claw::drivers
