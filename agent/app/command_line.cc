#include "agent/app/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <ostream>

namespace claw {
namespace {

namespace fs = std::filesystem;

constexpr int kUsageError = 2;

constexpr const char* kExamples = R"(Examples:
  clawlet                                    serve, with /etc/clawlet/clawlet.toml if it is there
  clawlet --config FILE --check-config       is the file right? exit code 0 or 1
  clawlet --print-config > clawlet.toml      a file with every key to begin with
  clawlet --state-dir /tmp/a --run-dir /run/a   one more agent, private to its two folders

SIGTERM or SIGINT ends the agent; sandboxes go on running. A second one ends it at once.
SIGHUP reads log.level from the config file again.)";

struct Options {
  std::string config_file;
  std::string state_dir;
  std::string run_dir;
  std::string socket;
  std::string log_level;
  bool check_config = false;
  bool print_config = false;
};

void AddOptions(CLI::App& app, Options& options) {
  app.footer(kExamples);
  app.add_option("--config", options.config_file,
                 "Config file; unless given, /etc/clawlet/clawlet.toml if it exists")
      ->type_name("FILE");
  app.add_option("--state-dir", options.state_dir, "Folder for what survives a reboot")
      ->type_name("DIR");
  app.add_option("--run-dir", options.run_dir, "Folder for what need not")->type_name("DIR");
  app.add_option("--socket", options.socket, "Where the API is served")->type_name("PATH");
  app.add_option("--log-level", options.log_level, "What is logged")
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}))
      ->type_name("LEVEL");
  app.add_flag("--check-config", options.check_config, "Check the config and exit");
  app.add_flag("--print-config", options.print_config, "Print the config in effect and exit");
}

StatusOr<Config> ReadConfig(const Options& options, fs::path& file, const fs::path& fallback) {
  std::error_code error;
  if (!options.config_file.empty()) {
    file = options.config_file;
  } else if (fs::exists(fallback, error)) {
    file = fallback;
  }
  Config config;
  if (!file.empty()) {
    ASSIGN_OR_RETURN(config, LoadConfig(file));
  }
  if (!options.state_dir.empty()) config.state_dir = fs::absolute(options.state_dir);
  if (!options.run_dir.empty()) config.run_dir = fs::absolute(options.run_dir);
  if (!options.socket.empty()) config.socket = fs::absolute(options.socket);
  if (!options.log_level.empty()) config.log_level = options.log_level;
  return config;
}

}  // namespace

CommandLine ReadCommandLine(std::vector<std::string> arguments, const std::string& version,
                            std::ostream& out, std::ostream& err, const fs::path& default_config) {
  CLI::App app("The node agent: runs other people's agents in sandboxes and serves the node's API.",
               "clawlet");
  Options options;
  AddOptions(app, options);
  app.set_version_flag("--version", "clawlet " + version);
  CommandLine result;
  try {
    std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants them
    app.parse(arguments);
  } catch (const CLI::ParseError& error) {
    result.exit_code = app.exit(error, out, err) == 0 ? 0 : kUsageError;
    return result;
  }
  StatusOr<Config> config = ReadConfig(options, result.config_file, default_config);
  if (!config.ok()) {
    err << ToStd(config.status().message()) << "\n";
    result.exit_code = 1;
    return result;
  }
  result.config = *std::move(config);
  result.log_level_given = !options.log_level.empty();
  if (options.print_config) out << FormatConfig(result.config);
  if (options.check_config && !options.print_config) out << "OK\n";
  if (options.check_config || options.print_config) result.exit_code = 0;
  return result;
}

}  // namespace claw
