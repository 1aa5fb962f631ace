#pragma once

#include <sys/types.h>

#include <filesystem>

#include "agent/base/status.h"

namespace claw::drivers {

// The pid in a file that conmon or a runtime wrote. DATA_LOSS: it holds something else, or nothing
// yet.
StatusOr<pid_t> ReadPid(const std::filesystem::path& file);

// The same, but waits until the runtime's exec has written it, or has ended, for 10 s at the most.
// One that is killed between the start of a program and its pid file leaves a program behind that
// nobody can name. `runtime` is its pidfd.
StatusOr<pid_t> AwaitPid(const std::filesystem::path& file, int runtime);

}  // namespace claw::drivers
