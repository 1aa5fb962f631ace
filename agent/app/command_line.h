#pragma once

#include <filesystem>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "agent/config.h"

namespace claw {

// What to do, with what.
struct CommandLine {
  std::optional<int> exit_code{};       // all is done: --help, --check-config, a mistake, …
  Config config{};                      // the file, and what the command line puts over it
  std::filesystem::path config_file{};  // empty: there is none
  bool log_level_given = false;
};

// Reads `arguments` (without the program's name) and the config file they name; the default one if
// it exists. Writes help and answers to `out`, mistakes to `err`.
CommandLine ReadCommandLine(
    std::vector<std::string> arguments, const std::string& version, std::ostream& out,
    std::ostream& err, const std::filesystem::path& default_config = kSystemDefaults.config_file);

}  // namespace claw
