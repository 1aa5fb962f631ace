#include "tools/clawctl/output.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "tools/clawctl/format.h"
#include "tools/clawctl/yaml.h"

namespace claw::ctl {
namespace {

constexpr std::string_view kColorOff = "\033[0m";

std::string_view ColorOf(std::string_view state) {
  static constexpr std::array kGood = {"running", "yes", "ok", "passed", "compatible", "accepted"};
  static constexpr std::array kBad = {"failed", "lost", "no", "incompatible", "error"};
  static constexpr std::array kBusy = {"starting", "stopping", "reserved",
                                       "degraded", "stale",    "warning"};
  const auto among = [&](const auto& states) {
    return std::find(states.begin(), states.end(), state) != states.end();
  };
  if (among(kGood)) return "\033[32m";
  if (among(kBad)) return "\033[31m";
  return among(kBusy) ? "\033[33m" : "";
}

nlohmann::ordered_json ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  // A script that asks for exit_code wants to see the 0.
  options.always_print_primitive_fields = true;
  std::string text;
  if (!google::protobuf::util::MessageToJsonString(message, &text, options).ok()) return {};
  return nlohmann::ordered_json::parse(text, nullptr, false);
}

nlohmann::ordered_json ToJsonList(const Messages& items) {
  auto list = nlohmann::ordered_json::array();
  for (const auto* item : items) list.push_back(ToJson(*item));
  return {{"items", std::move(list)}};
}

std::string Dump(const nlohmann::ordered_json& json, int indent, bool ascii) {
  return json.dump(indent, ' ', ascii, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace

void Table::Add(std::vector<std::string> cells) {
  cells.resize(columns_.size());
  for (std::string& cell : cells) cell = cell.empty() ? "-" : EscapeControls(cell);
  rows_.push_back(std::move(cells));
}

std::string Table::Render(bool wide, bool color) const {
  std::vector<size_t> shown;
  for (size_t i = 0; i < columns_.size(); ++i) {
    if (wide || !columns_[i].wide) shown.push_back(i);
  }
  std::vector<size_t> widths(columns_.size());
  for (const size_t i : shown) {
    widths[i] = columns_[i].title.size();
    for (const auto& row : rows_) widths[i] = std::max(widths[i], DisplayWidth(row[i]));
  }
  std::string out;
  const auto append = [&](size_t column, const std::string& cell, bool header) {
    const std::string_view code =
        color && !header && columns_[column].state ? ColorOf(cell) : std::string_view();
    out.append(code).append(cell).append(code.empty() ? "" : kColorOff);
    // No blanks at the end of a line.
    if (column != shown.back()) out.append(widths[column] - DisplayWidth(cell) + 2, ' ');
  };
  for (const size_t i : shown) append(i, columns_[i].title, true);
  out += '\n';
  for (const auto& row : rows_) {
    for (const size_t i : shown) append(i, row[i], false);
    out += '\n';
  }
  return out;
}

void Fields::Add(std::string name, std::string value) {
  fields_.emplace_back(std::move(name), value.empty() ? "-" : EscapeControls(value));
}

std::string Fields::Render() const {
  size_t width = 0;
  for (const auto& [name, value] : fields_) width = std::max(width, name.size());
  std::string out;
  for (const auto& [name, value] : fields_) {
    out.append(name).append(":").append(width - name.size() + 2, ' ').append(value).append("\n");
  }
  return out;
}

std::string RenderJson(const google::protobuf::Message& message, bool ascii) {
  return Dump(ToJson(message), 2, ascii);
}

std::string RenderJsonList(const Messages& items, bool ascii) {
  return Dump(ToJsonList(items), 2, ascii);
}

std::string RenderJsonLine(const google::protobuf::Message& message, bool ascii) {
  return Dump(ToJson(message), -1, ascii);
}

std::string RenderYaml(const google::protobuf::Message& message) {
  return YamlText(ToJson(message));
}

std::string RenderYamlList(const Messages& items) { return YamlText(ToJsonList(items)); }

std::string YamlFromJson(std::string_view json) {
  const auto parsed = nlohmann::ordered_json::parse(json, nullptr, false);
  return parsed.is_discarded() ? std::string(json) : YamlText(parsed);
}

}  // namespace claw::ctl
