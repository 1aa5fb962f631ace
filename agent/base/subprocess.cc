#include "agent/base/subprocess.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "agent/base/clone.h"

namespace claw {
namespace {

// CLOSE_RANGE_CLOEXEC of linux/close_range.h (Linux 5.11), which not every libc hands on.
constexpr unsigned kCloseOnExec = 1u << 2;

constexpr char kDefaultPath[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// What the child needs, laid out before it is cloned: it shares the agent's memory, so that only
// async-signal-safe calls are allowed.
struct ChildPlan {
  const ProcessSpec& spec;
  std::string program;
  std::vector<char*> argv;
  std::vector<char*> env;
  std::vector<std::pair<int, int>> descriptors;
  int error_fd = -1;
};

// Moves descriptors above every target first so that dup2 never overwrites one still needed.
int PlaceDescriptors(const ChildPlan& plan, int* error_fd) {
  int floor = 3;
  for (const auto& [from, to] : plan.descriptors) floor = std::max({floor, from + 1, to + 1});
  floor = std::max(floor, *error_fd + 1);
  const int moved_error = ::fcntl(*error_fd, F_DUPFD_CLOEXEC, floor);
  if (moved_error < 0) return errno;
  *error_fd = moved_error;
  std::array<int, 32> moved{};
  if (plan.descriptors.size() > moved.size()) return EMFILE;
  for (size_t i = 0; i < plan.descriptors.size(); ++i) {
    moved[i] = ::fcntl(plan.descriptors[i].first, F_DUPFD_CLOEXEC, floor);
    if (moved[i] < 0) return errno;
  }
  std::array<bool, 3> standard{};
  for (size_t i = 0; i < plan.descriptors.size(); ++i) {
    const int to = plan.descriptors[i].second;
    if (::dup2(moved[i], to) < 0) return errno;
    if (to < 3) standard[static_cast<size_t>(to)] = true;
  }
  for (int fd = 0; fd < 3; ++fd) {
    if (standard[static_cast<size_t>(fd)]) continue;
    const int null = ::open("/dev/null", O_RDWR);
    if (null < 0) return errno;
    if (null != fd) {
      ::dup2(null, fd);
      ::close(null);
    }
  }
  return 0;
}

// The agent handles, blocks and ignores signals of its own; a child starts with the defaults. First
// the handlers go, since they would run in the agent's memory.
void ResetSignals() {
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) ::sigaction(signal, &standard, nullptr);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

int RunChild(void* argument) {
  const ChildPlan& plan = *static_cast<const ChildPlan*>(argument);
  const ProcessSpec& spec = plan.spec;
  int error_fd = plan.error_fd;
  const auto fail = [&error_fd](int error) {
    [[maybe_unused]] const ssize_t ignored = ::write(error_fd, &error, sizeof(error));
    ::_exit(127);
  };
  ResetSignals();
  // Whatever the agent's libraries opened without close-on-exec stays here.
  if (::syscall(SYS_close_range, 3, ~0U, kCloseOnExec) != 0) fail(errno);
  if (const int error = PlaceDescriptors(plan, &error_fd)) fail(error);
  if (spec.new_session && ::setsid() < 0) fail(errno);
  if (spec.controlling_terminal && ::ioctl(0, TIOCSCTTY, 0) != 0) fail(errno);
  if (!spec.working_directory.empty() && ::chdir(spec.working_directory.c_str()) != 0) fail(errno);
  if (spec.before_exec) {
    if (const int error = spec.before_exec()) fail(error);
  }
  ::execve(plan.program.c_str(), plan.argv.data(), plan.env.data());
  fail(errno);
  return 127;
}

Status ReapFailedChild(pid_t pid, int error, const std::string& program) {
  int ignored = 0;
  while (::waitpid(pid, &ignored, 0) < 0 && errno == EINTR) {
  }
  if (error == ENOENT) {
    return MakeError(StatusCode::kNotFound, StrCat("start ", program, ": no such program"),
                     {.reason = "PROGRAM_MISSING", .constraint = program});
  }
  return ErrnoError(error, StrCat("start ", program));
}

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
    const timespec now{};
    if (!was_pending_) ::sigtimedwait(&sigpipe_, nullptr, &now);
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

StatusOr<std::pair<UniqueFd, UniqueFd>> MakePipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return ErrnoError(errno, "pipe");
  return std::make_pair(UniqueFd(ends[0]), UniqueFd(ends[1]));
}

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
  const std::string folders = StrCat(path != nullptr ? path : "", ":", kDefaultPath);
  for (std::string_view folder : Split(folders, ':', true)) {
    std::string candidate = StrCat(folder, "/", name);
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return missing;
}

StatusOr<Process> Spawn(const ProcessSpec& spec) {
  if (spec.argv.empty()) return Internal("start a program: no argv");
  ChildPlan plan{.spec = spec, .program = {}, .argv = {}, .env = {}, .descriptors = {}};
  ASSIGN_OR_RETURN(plan.program, FindProgram(spec.argv[0]));
  std::vector<std::string> env = spec.env;
  if (env.empty()) env.push_back(StrCat("PATH=", kDefaultPath));
  plan.argv = Pointers(spec.argv);
  plan.env = Pointers(env);
  plan.descriptors = spec.descriptors;
  ASSIGN_OR_RETURN(auto error_pipe, MakePipe());
  plan.error_fd = error_pipe.second.get();

  ASSIGN_OR_RETURN(const ChildStack stack, ChildStack::Make());
  const StatusOr<pid_t> cloned = CloneChild(CLONE_VFORK, RunChild, &plan, stack);
  if (!cloned.ok()) return Annotate(cloned.status(), StrCat("start ", plan.program));
  const pid_t pid = *cloned;

  error_pipe.second.reset();
  int error = 0;
  ssize_t got = 0;
  while ((got = ::read(error_pipe.first.get(), &error, sizeof(error))) < 0 && errno == EINTR) {
  }
  if (got == sizeof(error)) return ReapFailedChild(pid, error, plan.program);
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd.valid()) return ErrnoError(errno, StrCat("pidfd of ", plan.program));
  return Process(pid, std::move(pidfd));
}

StatusOr<int> Process::Wait() {
  siginfo_t info{};
  while (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED) != 0) {
    if (errno != EINTR) return ErrnoError(errno, StrCat("wait for ", pid_));
  }
  return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

Status Process::Signal(int signal) const {
  if (::syscall(SYS_pidfd_send_signal, pidfd_.get(), signal, nullptr, 0) == 0 || errno == ESRCH) {
    return absl::OkStatus();
  }
  return ErrnoError(errno, StrCat("signal ", pid_));
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
