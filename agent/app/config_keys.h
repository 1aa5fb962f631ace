#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "agent/config.h"

namespace claw {

// One key of the config file: what it is called, what may stand there, and where it goes.
struct ConfigKey {
  // A value as it stood in the file, without what TOML knows beyond these.
  using Value = std::variant<std::string, int64_t, bool>;

  std::string_view name;  // "drivers.runc.path"
  std::string_view help;  // one line
  std::string_view form;  // what a value looks like: "an amount of bytes, as in \"512Mi\""
  // OK, or what is wrong with the value; not called with a type that the form excludes.
  std::function<Status(Config&, const Value&)> set;
  // As it would stand in the file; empty: it is not set.
  std::function<std::string(const Config&)> show;
};

// Every key there is, in the order of FormatConfig; those of one section stand together.
const std::vector<ConfigKey>& ConfigKeys();

// A text as TOML has it.
std::string Quote(std::string_view text);

}  // namespace claw
