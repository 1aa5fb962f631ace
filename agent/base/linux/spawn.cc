#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include "agent/base/linux/clone.h"
#include "agent/base/subprocess.h"

namespace claw {
namespace {

// CLOSE_RANGE_CLOEXEC of linux/close_range.h (Linux 5.11), which not every libc hands on.
constexpr unsigned kCloseOnExec = 1u << 2;

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

}  // namespace

StatusOr<Process> Spawn(const ProcessSpec& spec) {
  if (spec.argv.empty()) return Internal("start a program: no argv");
  ChildPlan plan{.spec = spec, .program = {}, .argv = {}, .env = {}, .descriptors = {}};
  ASSIGN_OR_RETURN(plan.program, FindProgram(spec.argv[0]));
  std::vector<std::string> env = spec.env;
  if (env.empty()) env.push_back(StrCat("PATH=", kDefaultProgramPath));
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

Status Process::Signal(int signal) const {
  if (::syscall(SYS_pidfd_send_signal, pidfd_.get(), signal, nullptr, 0) == 0 || errno == ESRCH) {
    return absl::OkStatus();
  }
  return ErrnoError(errno, StrCat("signal ", pid_));
}

}  // namespace claw
