#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/status.h"
#include "agent/model/sandbox.h"
#include "drivers/oci/layout.h"
#include "drivers/oci/root_mount.h"

namespace claw::drivers {

// conmon supervises one container: it keeps its output, its exit status and its OOM notice, and
// outlives the agent.

struct ConmonSpec {
  std::string conmon_path{};
  std::string id{};
  std::string runtime_path{};
  std::vector<std::string> runtime_flags{};
  bool tty = false;
  bool stdin_open = false;
  int64_t log_max_bytes = 0;  // then the log starts anew
};

// Starts conmon in a mount namespace of its own; it has the runtime create the container. Answers
// with the pid of the container's first process, on the host. Errors: what the runtime printed.
StatusOr<pid_t> LaunchConmon(const ConmonSpec& spec, const Layout& layout, const RootMount& root,
                             std::chrono::milliseconds timeout);

// The exit status that conmon left, and when; absent if there is none (yet).
struct ConmonExit {
  int exit_code = 0;
  bool oom = false;  // conmon saw an OOM in the container's cgroup
  Time exited_at{};
};
std::optional<ConmonExit> ReadConmonExit(const Layout& layout, const std::string& id);

// The socket that takes the program's standard input. Conmon's socket paths may be longer than
// sun_path.
StatusOr<UniqueFd> ConnectInput(const Layout& layout);
Status ResizeConsole(const Layout& layout, int rows, int columns);

}  // namespace claw::drivers
