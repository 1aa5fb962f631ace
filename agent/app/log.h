#pragma once

#include <spdlog/logger.h>

#include <memory>
#include <string>
#include <string_view>

namespace claw {

// `level` is "debug", "info", "warn" or "error"; `format` is "text" (TIME LEVEL MESSAGE) or "json"
// (one object a line: time, level, message). Anything else is taken for "info" and "text".
std::shared_ptr<spdlog::logger> MakeLogger(std::string_view level, std::string_view format,
                                           spdlog::sink_ptr sink);

// To standard error.
std::shared_ptr<spdlog::logger> MakeStderrLogger(std::string_view level, std::string_view format);

void SetLogLevel(spdlog::logger& logger, std::string_view level);

}  // namespace claw
