#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace claw::ctl {

// Block-style YAML 1.2 that readers of YAML 1.1 understand the same way: whatever they could take
// for a number, a boolean, a null or a date is quoted. Ends in a newline.
std::string YamlText(const nlohmann::ordered_json& value);

// One scalar: plain if that is safe, otherwise in double quotes.
std::string YamlString(std::string_view text);

}  // namespace claw::ctl
