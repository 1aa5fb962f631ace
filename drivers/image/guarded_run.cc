#include "drivers/image/guarded_run.h"

#include <poll.h>
#include <sys/resource.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "agent/base/bytes.h"
#include "agent/base/file.h"
#include "drivers/image/errors.h"

namespace claw::image {
namespace {

// At 3 GB/s a program writes some 600 MB between two looks; min_free_bytes covers the usual disk.
constexpr int kTickMillis = 200;

[[maybe_unused]] int LimitFileSize(int64_t max_file_bytes) {
  if (max_file_bytes <= 0) return 0;
  rlimit limit{};
  if (::getrlimit(RLIMIT_FSIZE, &limit) != 0) return errno;
  const auto wanted = static_cast<rlim_t>(max_file_bytes);
  if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max <= wanted) return 0;
  limit.rlim_cur = limit.rlim_max = wanted;
  return ::setrlimit(RLIMIT_FSIZE, &limit) == 0 ? 0 : errno;
}

Status CheckDisk(const Guard& guard, std::string_view program) {
  ASSIGN_OR_RETURN(const int64_t free_bytes, FreeDiskBytes(guard.disk));
  if (free_bytes >= guard.min_free_bytes) return absl::OkStatus();
  return DiskFull(StrCat("only ", FormatBytes(free_bytes), " free while ", program, " ran"),
                  guard.min_free_bytes, free_bytes);
}

// Takes what is there; closes the pipe at its end.
void Drain(UniqueFd& pipe, std::string& into, size_t limit) {
  std::array<char, 16384> buffer;
  const ssize_t got = ::read(pipe.get(), buffer.data(), buffer.size());
  if (got > 0 && into.size() < limit) {
    into.append(buffer.data(), std::min(static_cast<size_t>(got), limit - into.size()));
  }
  if (got == 0 || (got < 0 && errno != EINTR)) pipe.reset();
}

}  // namespace

StatusOr<RunResult> RunGuarded(ProcessSpec spec, const Guard& guard) {
  const std::string program = spec.argv.empty() ? "" : spec.argv[0];
  RETURN_IF_ERROR(CheckDisk(guard, program));
  ASSIGN_OR_RETURN(auto out, MakePipe());
  ASSIGN_OR_RETURN(auto err, MakePipe());
  spec.descriptors = {{out.second.get(), 1}, {err.second.get(), 2}};
  spec.new_session = true;  // so that the whole process group can be killed
#ifndef __APPLE__
  // There the look at the disk is all there is.
  spec.before_exec = [max = guard.max_file_bytes] { return LimitFileSize(max); };
#endif
  ASSIGN_OR_RETURN(Process process, Spawn(spec));
  out.second.reset();
  err.second.reset();

  RunResult result;
  Status stopped;
  bool exited = false;
  const auto deadline = std::chrono::steady_clock::now() + guard.timeout;
  while (stopped.ok() && (!exited || out.first.valid() || err.first.valid())) {
    std::array<pollfd, 3> polls = {pollfd{exited ? -1 : process.pidfd(), POLLIN, 0},
                                   pollfd{out.first.get(), POLLIN, 0},
                                   pollfd{err.first.get(), POLLIN, 0}};
    const int ready = ::poll(polls.data(), polls.size(), kTickMillis);
    if (polls[1].revents != 0) Drain(out.first, result.out, guard.max_output_bytes);
    if (polls[2].revents != 0) Drain(err.first, result.err, guard.max_output_bytes);
    if (polls[0].revents != 0) exited = true;
    // Something the program left behind may hold the pipes open: silence after its end is the end.
    if (exited && ready == 0) break;
    if (!exited) stopped = CheckDisk(guard, program);
    if (stopped.ok() && std::chrono::steady_clock::now() >= deadline) {
      stopped = MakeError(StatusCode::kDeadlineExceeded,
                          StrCat(program, " did not end within ", guard.timeout.count(), " ms"),
                          {.reason = "PROGRAM_TIMEOUT", .constraint = program});
    }
  }
  if (!stopped.ok()) ::kill(-process.pid(), SIGKILL);
  ASSIGN_OR_RETURN(result.exit_code, process.Wait());
  RETURN_IF_ERROR(stopped);
  return result;
}

}  // namespace claw::image
