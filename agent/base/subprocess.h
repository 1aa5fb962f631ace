#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/descriptors.h"
#include "agent/base/status.h"
#include "agent/base/unique_fd.h"

namespace claw {

// Where programs are looked for beside PATH, and the PATH of those that are given none.
inline constexpr char kDefaultProgramPath[] =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#ifdef __APPLE__
    ":/opt/homebrew/bin:/opt/homebrew/sbin"
#endif
    ;

// How a program is started. Nothing of the agent's environment or descriptors is inherited but what
// is named here; stdin, stdout and stderr are /dev/null unless they are given.
struct ProcessSpec {
  std::vector<std::string> argv{};  // argv[0] is a path, or a name that is looked up in PATH
  std::vector<std::string> env{};   // "NAME=value"; empty: PATH only
  std::filesystem::path working_directory{};  // empty: the agent's
  // {descriptor here, descriptor in the child}: dup'ed over in order. The caller keeps its own.
  std::vector<std::pair<int, int>> descriptors{};
  bool new_session = false;
  // Make descriptor 0 of the child its controlling terminal (with new_session). Linux only.
  bool controlling_terminal = false;
  // Runs in the child before exec, after the descriptors are in place, in the agent's own memory:
  // it may only make async-signal-safe calls and leaves nothing behind there. What it answers is an
  // errno; 0 goes on to exec. Linux only.
  std::function<int()> before_exec{};
};

// A child of this process. Not reaped by the destructor: call Wait or hand the pid on.
class Process {
 public:
  Process() = default;
  Process(pid_t pid, UniqueFd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}

  [[nodiscard]] pid_t pid() const { return pid_; }
  // Readable once the child has ended: a pidfd, on macOS a kqueue that waits for that.
  [[nodiscard]] int pidfd() const { return pidfd_.get(); }

  // Blocks until the child has ended, and reaps it. The status is that of waitid(2): an exit code,
  // or 128 + the signal.
  StatusOr<int> Wait();
  // Sends a signal; a child that is gone already is OK.
  Status Signal(int signal) const;

 private:
  pid_t pid_ = -1;
  UniqueFd pidfd_;
};

// Starts a program. Errors: NOT_FOUND (reason PROGRAM_MISSING) if there is no
// such program, otherwise what clone, before_exec or exec said.
StatusOr<Process> Spawn(const ProcessSpec& spec);

struct RunResult {
  int exit_code = 0;  // 128 + n: killed by signal n
  std::string out{};  // at most max_output_bytes each; the rest is read and dropped
  std::string err{};
};

struct RunOptions {
  std::chrono::milliseconds timeout = std::chrono::seconds(60);
  size_t max_output_bytes = 1 << 20;
  std::string input{};
};

// Runs a program to its end and collects what it prints. Blocks; for pool threads.
// Errors: DEADLINE_EXCEEDED (the program's process group has been killed), those of Spawn. A
// program that exits with something other than 0 is no error here.
StatusOr<RunResult> Run(ProcessSpec spec, const RunOptions& options = {});

// Run, but an exit code other than 0 is an INTERNAL error with the last lines of stderr in it.
StatusOr<std::string> RunOrError(ProcessSpec spec, const RunOptions& options = {});

// The absolute path of a program as execvp would find it, in PATH or the system folders; NOT_FOUND.
StatusOr<std::string> FindProgram(const std::string& name);

}  // namespace claw
