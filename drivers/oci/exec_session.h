#pragma once

#include <functional>
#include <memory>

#include "agent/base/subprocess.h"
#include "drivers/driver.h"

namespace claw::drivers {

// `runtime exec …` as a child of the agent: over pipes, or over a terminal of which the agent holds
// the other end. The program does not outlive the session. `on_close` is called once when the
// session goes, with the child's pidfd if the program may still run: it lives outside of the
// child's reach and has to be ended from there. Otherwise with -1.
StatusOr<std::unique_ptr<ExecSession>> StartExec(ProcessSpec command, bool tty, bool stdin_open,
                                                 std::function<void(int runtime)> on_close);

}  // namespace claw::drivers
