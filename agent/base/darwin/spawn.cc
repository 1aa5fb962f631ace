#include <fcntl.h>
#include <spawn.h>
#include <sys/event.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "agent/base/subprocess.h"

namespace claw {
namespace {

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// What the child does with its descriptors and its folder before it executes.
class FileActions {
 public:
  FileActions() { ::posix_spawn_file_actions_init(&actions_); }
  ~FileActions() { ::posix_spawn_file_actions_destroy(&actions_); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;

  // Answers with an errno. Descriptors are moved above every target first, so that none that is
  // still needed is overwritten; `moved` has to live until the child is there.
  int Place(const ProcessSpec& spec, std::vector<UniqueFd>& moved) {
    int floor = 3;
    for (const auto& [from, to] : spec.descriptors) floor = std::max({floor, from + 1, to + 1});
    bool standard[3] = {};
    for (const auto& [from, to] : spec.descriptors) {
      moved.emplace_back(::fcntl(from, F_DUPFD_CLOEXEC, floor));
      if (!moved.back().valid()) return errno;
      const int error = ::posix_spawn_file_actions_adddup2(&actions_, moved.back().get(), to);
      if (error != 0) return error;
      if (to >= 0 && to < 3) standard[to] = true;
    }
    for (int fd = 0; fd < 3; ++fd) {
      if (standard[fd]) continue;
      const int error = ::posix_spawn_file_actions_addopen(&actions_, fd, "/dev/null", O_RDWR, 0);
      if (error != 0) return error;
    }
    if (spec.working_directory.empty()) return 0;
    return ::posix_spawn_file_actions_addchdir_np(&actions_, spec.working_directory.c_str());
  }

  const posix_spawn_file_actions_t* get() const { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_{};
};

class Attributes {
 public:
  explicit Attributes(bool new_session) {
    ::posix_spawnattr_init(&attributes_);
    sigset_t all;
    sigset_t none;
    sigfillset(&all);
    sigemptyset(&none);
    ::posix_spawnattr_setsigdefault(&attributes_, &all);
    ::posix_spawnattr_setsigmask(&attributes_, &none);
    // It waits for SIGCONT: of a child that has ended the kernel tells nothing any more. Whatever
    // the agent's libraries opened stays here.
    int flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_CLOEXEC_DEFAULT |
                POSIX_SPAWN_START_SUSPENDED;
    if (new_session) flags |= POSIX_SPAWN_SETSID;
    ::posix_spawnattr_setflags(&attributes_, static_cast<short>(flags));
  }
  ~Attributes() { ::posix_spawnattr_destroy(&attributes_); }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;

  const posix_spawnattr_t* get() const { return &attributes_; }

 private:
  posix_spawnattr_t attributes_{};
};

// A kqueue that is readable once the process has ended.
StatusOr<UniqueFd> WatchEnd(pid_t pid) {
  UniqueFd queue(::kqueue());
  if (!queue.valid()) return ErrnoError(errno, "kqueue");
  ::fcntl(queue.get(), F_SETFD, FD_CLOEXEC);
  struct kevent change {};
  EV_SET(&change, static_cast<uintptr_t>(pid), EVFILT_PROC, EV_ADD, NOTE_EXIT, 0, nullptr);
  if (::kevent(queue.get(), &change, 1, nullptr, 0, nullptr) != 0) {
    return ErrnoError(errno, StrCat("watch ", pid));
  }
  return queue;
}

}  // namespace

StatusOr<Process> Spawn(const ProcessSpec& spec) {
  if (spec.argv.empty()) return Internal("start a program: no argv");
  if (spec.before_exec || spec.controlling_terminal) {
    return Unimplemented("start ", spec.argv[0], ": only Linux has what it asks for");
  }
  ASSIGN_OR_RETURN(const std::string program, FindProgram(spec.argv[0]));
  std::vector<std::string> env = spec.env;
  if (env.empty()) env.push_back(StrCat("PATH=", kDefaultProgramPath));
  const std::vector<char*> argv = Pointers(spec.argv);
  const std::vector<char*> envp = Pointers(env);
  FileActions actions;
  std::vector<UniqueFd> moved;
  if (const int error = actions.Place(spec, moved)) {
    return ErrnoError(error, StrCat("start ", program));
  }
  const Attributes attributes(spec.new_session);
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, program.c_str(), actions.get(), attributes.get(),
                                  argv.data(), envp.data());
  if (error == ENOENT) {
    return MakeError(StatusCode::kNotFound, StrCat("start ", program, ": no such program"),
                     {.reason = "PROGRAM_MISSING", .constraint = program});
  }
  if (error != 0) return ErrnoError(error, StrCat("start ", program));
  StatusOr<UniqueFd> end = WatchEnd(pid);
  if (!end.ok()) {
    ::kill(pid, SIGKILL);
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    return end.status();
  }
  ::kill(pid, SIGCONT);
  return Process(pid, *std::move(end));
}

// Of a child that has not been reaped the pid is nobody else's.
Status Process::Signal(int signal) const {
  if (::kill(pid_, signal) == 0 || errno == ESRCH) return absl::OkStatus();
  return ErrnoError(errno, StrCat("signal ", pid_));
}

}  // namespace claw
