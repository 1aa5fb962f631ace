#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "drivers/driver.h"

namespace claw::drivers {

// Reads the log that conmon writes: lines "TIME STREAM TAG CONTENT", TAG F for a whole line and P
// for a part of one. A record that starts with `hidden_prefix` (if that is not empty) is left out:
// it is clawlet's own. A log that was started anew because it grew too long is read from its new
// beginning. Lines that are not of this form are given as they are.
StatusOr<std::unique_ptr<LogReader>> OpenK8sLog(const std::filesystem::path& path,
                                                const std::string& hidden_prefix);

// One line without its newline.
LogRecord ParseK8sLogLine(std::string_view line);

}  // namespace claw::drivers
