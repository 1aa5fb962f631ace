#pragma once

#include <string>
#include <string_view>

#include "agent/base/status.h"

namespace claw::ctl {

// What clawctl answers to the shell.
enum ExitCode : int {
  kExitOk = 0,
  kExitFailed = 1,
  kExitUsage = 2,
  kExitNotFound = 3,
  kExitUnreachable = 4,
  kExitDeadline = 5,
  kExitExhausted = 6,
  kExitPermission = 7,
  // run, exec and wait: it was clawctl or the agent that failed, not the program.
  kExitNotRun = 125,
};

int ExitCodeOf(const Status& status);

// The codes as lines for --help.
std::string_view ExitCodeHelp();

// A mistake in the command line.
Status UsageError(std::string_view message);

// "clawctl: MESSAGE", what the typed detail says, and what to do next; each on a line of its own.
std::string RenderError(const Status& status, std::string_view socket);

}  // namespace claw::ctl
