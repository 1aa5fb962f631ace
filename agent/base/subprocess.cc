#include "agent/base/subprocess.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>

namespace claw {
namespace {

void Append(std::string& text, const char* data, size_t size, size_t limit) {
  if (text.size() < limit) text.append(data, std::min(size, limit - text.size()));
}

// One readable or writable end that poll watches; closed when it is done.
bool ReadSome(UniqueFd& fd, std::string& into, size_t limit) {
  std::array<char, 16384> buffer;
  const ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
  if (got > 0) Append(into, buffer.data(), static_cast<size_t>(got), limit);
  if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN)) fd.reset();
  return fd.valid();
}

// A program that does not read its input must not end the agent.
class SigpipeBlocked {
 public:
  SigpipeBlocked() {
    sigemptyset(&sigpipe_);
    sigaddset(&sigpipe_, SIGPIPE);
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    ::pthread_sigmask(SIG_BLOCK, &sigpipe_, &before_);
  }
  ~SigpipeBlocked() {
    sigset_t pending;
    sigpending(&pending);
    int taken = 0;
    if (!was_pending_ && sigismember(&pending, SIGPIPE) == 1) ::sigwait(&sigpipe_, &taken);
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  SigpipeBlocked(const SigpipeBlocked&) = delete;
  SigpipeBlocked& operator=(const SigpipeBlocked&) = delete;

 private:
  sigset_t sigpipe_{};
  sigset_t before_{};
  bool was_pending_ = false;
};

void WriteSome(UniqueFd& fd, std::string_view& input) {
  const SigpipeBlocked guard;
  const ssize_t put = ::write(fd.get(), input.data(), input.size());
  if (put > 0) input.remove_prefix(static_cast<size_t>(put));
  if (input.empty() || (put < 0 && errno != EINTR && errno != EAGAIN)) fd.reset();
}

}  // namespace

StatusOr<std::string> FindProgram(const std::string& name) {
  const Status missing =
      MakeError(StatusCode::kNotFound, StrCat("there is no program '", name, "' in PATH"),
                {.reason = "PROGRAM_MISSING", .constraint = name});
  if (name.find('/') != std::string::npos) {
    if (::access(name.c_str(), X_OK) == 0) return name;
    return missing;
  }
  const char* path = std::getenv("PATH");
  // The system folders come last, so that a bare environment still finds runc in /usr/sbin.
  const std::string folders = StrCat(path != nullptr ? path : "", ":", kDefaultProgramPath);
  for (std::string_view folder : Split(folders, ':', true)) {
    std::string candidate = StrCat(folder, "/", name);
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return missing;
}

StatusOr<int> Process::Wait() {
  siginfo_t info{};
  while (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED) != 0) {
    if (errno != EINTR) return ErrnoError(errno, StrCat("wait for ", pid_));
  }
  return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

StatusOr<RunResult> Run(ProcessSpec spec, const RunOptions& options) {
  ASSIGN_OR_RETURN(auto out, MakePipe());
  ASSIGN_OR_RETURN(auto err, MakePipe());
  ASSIGN_OR_RETURN(auto in, MakePipe());
  spec.descriptors.insert(spec.descriptors.end(),
                          {{in.first.get(), 0}, {out.second.get(), 1}, {err.second.get(), 2}});
  spec.new_session = true;
  ASSIGN_OR_RETURN(Process process, Spawn(spec));
  in.first.reset();
  out.second.reset();
  err.second.reset();
  std::string_view input = options.input;
  if (input.empty()) {
    in.second.reset();
  } else {
    // A program that writes before it reads would wait for us while we wait for it.
    ::fcntl(in.second.get(), F_SETFL, O_NONBLOCK);
  }

  RunResult result;
  const auto deadline = std::chrono::steady_clock::now() + options.timeout;
  bool exited = false;
  bool timed_out = false;
  // Ends when the program has ended, not when its pipes close: a daemon that it leaves behind may
  // keep them open. What it printed itself is in the pipe by then.
  while (!exited) {
    std::array<pollfd, 4> polls = {
        pollfd{process.pidfd(), POLLIN, 0}, pollfd{out.first.get(), POLLIN, 0},
        pollfd{err.first.get(), POLLIN, 0}, pollfd{in.second.get(), POLLOUT, 0}};
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) {
      timed_out = true;
      break;
    }
    if (::poll(polls.data(), polls.size(),
               static_cast<int>(std::min<int64_t>(left.count(), 1 << 30))) < 0 &&
        errno != EINTR) {
      return ErrnoError(errno, "poll");
    }
    if (polls[1].revents != 0) ReadSome(out.first, result.out, options.max_output_bytes);
    if (polls[2].revents != 0) ReadSome(err.first, result.err, options.max_output_bytes);
    if (polls[3].revents != 0) WriteSome(in.second, input);
    exited = polls[0].revents != 0;
  }
  if (timed_out) ::kill(-process.pid(), SIGKILL);
  ASSIGN_OR_RETURN(result.exit_code, process.Wait());
  if (timed_out) {
    return MakeError(StatusCode::kDeadlineExceeded,
                     StrCat(spec.argv[0], " did not end within ", options.timeout.count(), " ms"),
                     {.reason = "PROGRAM_TIMEOUT", .constraint = spec.argv[0]});
  }
  for (UniqueFd* fd : {&out.first, &err.first}) {
    if (!fd->valid()) continue;
    ::fcntl(fd->get(), F_SETFL, O_NONBLOCK);
    std::string& into = fd == &out.first ? result.out : result.err;
    size_t before = 0;
    do {
      before = into.size();
    } while (ReadSome(*fd, into, options.max_output_bytes) && into.size() != before);
  }
  return result;
}

StatusOr<std::string> RunOrError(ProcessSpec spec, const RunOptions& options) {
  const std::string name = spec.argv.empty() ? "" : spec.argv[0];
  ASSIGN_OR_RETURN(RunResult result, Run(std::move(spec), options));
  if (result.exit_code == 0) return std::move(result.out);
  std::string_view tail = Trim(result.err);
  if (tail.size() > 600) tail = tail.substr(tail.size() - 600);
  return MakeError(StatusCode::kInternal,
                   StrCat(name, " exited with ", result.exit_code, ": ", tail),
                   {.reason = "PROGRAM_FAILED", .constraint = name});
}

}  // namespace claw
