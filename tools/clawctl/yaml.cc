#include "tools/clawctl/yaml.h"

#include <absl/strings/ascii.h>

#include <absl/strings/match.h>

#include <algorithm>
#include <array>

#include "agent/base/strings.h"

namespace claw::ctl {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<std::string_view, 12> kReserved = {"true", "false", "yes", "no", "on", "off",
                                                        "null", "y",     "n",   "~",  "=",  "<<"};

// Plain only what cannot be anything but a string. A leading digit, sign or dot may start a number
// or a date in one of YAML's versions, so those are quoted without looking further.
bool IsPlain(std::string_view text) {
  if (text.empty()) return false;
  const char first = text.front();
  if (!absl::ascii_isalpha(static_cast<unsigned char>(first)) && first != '/' && first != '_') {
    return false;
  }
  const bool safe = std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           std::string_view("/_-.:@+=, ()").find(c) != std::string_view::npos;
  });
  if (!safe || text.back() == ' ' || text.back() == ':') return false;
  if (text.find(": ") != std::string_view::npos) return false;
  return std::none_of(kReserved.begin(), kReserved.end(), [text](std::string_view word) {
    return absl::EqualsIgnoreCase(ToAbsl(text), ToAbsl(word));
  });
}

bool IsBlock(const Json& value) { return value.is_structured() && !value.empty(); }

std::string Scalar(const Json& value) {
  if (value.is_string()) return YamlString(value.get_ref<const std::string&>());
  if (value.is_object()) return "{}";
  if (value.is_array()) return "[]";
  return value.dump();
}

void Write(const Json& value, size_t indent, bool at_item, std::string& out);

void WriteObject(const Json& object, size_t indent, bool at_item, std::string& out) {
  for (const auto& [key, child] : object.items()) {
    // The first key of a list's item stands behind its dash.
    if (!at_item) out.append(indent, ' ');
    at_item = false;
    out.append(YamlString(key)).append(":");
    if (IsBlock(child)) {
      out += '\n';
      Write(child, indent + 2, false, out);
    } else {
      out.append(" ").append(Scalar(child)).append("\n");
    }
  }
}

void WriteArray(const Json& array, size_t indent, bool at_item, std::string& out) {
  for (const Json& child : array) {
    if (!at_item) out.append(indent, ' ');
    at_item = false;
    out += "- ";
    Write(child, indent + 2, true, out);
  }
}

void Write(const Json& value, size_t indent, bool at_item, std::string& out) {
  if (!IsBlock(value)) {
    out.append(Scalar(value)).append("\n");
  } else if (value.is_object()) {
    WriteObject(value, indent, at_item, out);
  } else {
    WriteArray(value, indent, at_item, out);
  }
}

}  // namespace

std::string YamlString(std::string_view text) {
  if (IsPlain(text)) return std::string(text);
  // JSON's escapes are a subset of YAML's.
  return Json(std::string(text)).dump(-1, ' ', true, Json::error_handler_t::replace);
}

std::string YamlText(const nlohmann::ordered_json& value) {
  std::string out;
  Write(value, 0, false, out);
  return out;
}

}  // namespace claw::ctl
