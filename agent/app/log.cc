#include "agent/app/log.h"

#include <spdlog/formatter.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "agent/base/clock.h"

namespace claw {
namespace {

std::string_view NameOf(spdlog::level::level_enum level) {
  const auto name = spdlog::level::to_string_view(level);
  return {name.data(), name.size()};
}

class JsonFormatter final : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) override {
    const Time time = std::chrono::time_point_cast<std::chrono::microseconds>(message.time);
    const nlohmann::ordered_json json = {
        {"time", FormatTime(time)},
        {"level", NameOf(message.level)},
        {"message", std::string(message.payload.data(), message.payload.size())}};
    // What other programs said goes in here, too: it need not be UTF-8.
    std::string line =
        json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
    out.append(line.data(), line.data() + line.size());
  }
  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<JsonFormatter>();
  }
};

}  // namespace

std::shared_ptr<spdlog::logger> MakeLogger(std::string_view level, std::string_view format,
                                           spdlog::sink_ptr sink) {
  auto logger = std::make_shared<spdlog::logger>("clawlet", std::move(sink));
  if (format == "json") {
    logger->set_formatter(std::make_unique<JsonFormatter>());
  } else {
    logger->set_formatter(std::make_unique<spdlog::pattern_formatter>(
        "%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc));
  }
  SetLogLevel(*logger, level);
  return logger;
}

std::shared_ptr<spdlog::logger> MakeStderrLogger(std::string_view level, std::string_view format) {
  return MakeLogger(level, format, std::make_shared<spdlog::sinks::stderr_sink_mt>());
}

void SetLogLevel(spdlog::logger& logger, std::string_view level) {
  logger.set_level(level == "debug"   ? spdlog::level::debug
                   : level == "warn"  ? spdlog::level::warn
                   : level == "error" ? spdlog::level::err
                                      : spdlog::level::info);
}

}  // namespace claw
