#include "agent/model/compat.h"

#include <nlohmann/json.hpp>

#include "agent/base/strings.h"
#include "agent/base/words.h"
#include "agent/model/enum_names.h"
#include "agent/model/validate.h"

namespace claw {
namespace {

constexpr EnumNames<CompatResult, 3> kResultNames = {{
    {CompatResult::kCompatible, "COMPATIBLE"},
    {CompatResult::kDegraded, "DEGRADED"},
    {CompatResult::kIncompatible, "INCOMPATIBLE"},
}};

constexpr EnumNames<SyscallFinding::Kind, 2> kKindNames = {{
    {SyscallFinding::Kind::kLacking, "LACKING"},
    {SyscallFinding::Kind::kRefused, "REFUSED"},
}};

constexpr EnumNames<SyscallFinding::Mattered, 3> kMatteredNames = {{
    {SyscallFinding::Mattered::kUnknown, "UNKNOWN"},
    {SyscallFinding::Mattered::kNo, "NO"},
    {SyscallFinding::Mattered::kYes, "YES"},
}};

// `total` sums up what the probe's strings take.
Status CheckText(std::string_view field, std::string_view text, size_t& total) {
  total += text.size() + 1;
  if (total > kMaxProbeBytes) {
    return BadValue(field, StrCat("takes the probe over ", kMaxProbeBytes, " bytes"));
  }
  return ValidateText(field, text, kMaxProbeBytes);
}

}  // namespace

std::string VerdictKey(const CompatVerdict& verdict) {
  return StrCat(verdict.image_digest, " ", verdict.architecture, " ", verdict.platform, " ",
                verdict.runtime_version);
}

std::string_view ToString(CompatResult result) { return NameOf(kResultNames, result); }
std::string_view ToString(SyscallFinding::Kind kind) { return NameOf(kKindNames, kind); }
std::string_view ToString(SyscallFinding::Mattered mattered) {
  return NameOf(kMatteredNames, mattered);
}

StatusOr<CompatResult> ParseCompatResult(std::string_view text) {
  return ValueOf(kResultNames, "compatibility result", text);
}

StatusOr<SyscallFinding::Kind> ParseFindingKind(std::string_view text) {
  return ValueOf(kKindNames, "kind of finding", text);
}

StatusOr<SyscallFinding::Mattered> ParseMattered(std::string_view text) {
  return ValueOf(kMatteredNames, "answer whether a call mattered", text);
}

StatusOr<std::vector<std::string>> ParseProbeLabel(std::string_view label) {
  std::vector<std::string> words;
  if (Trim(label).starts_with('[')) {
    const auto json = nlohmann::json::parse(label, nullptr, false);
    if (!json.is_array()) return BadValue(kProbeLabel, "is no JSON array");
    for (const auto& word : json) {
      if (!word.is_string()) return BadValue(kProbeLabel, "has something that is not a string");
      words.push_back(word.get<std::string>());
    }
  } else {
    const auto split = SplitWords(label);
    if (!split.ok()) return BadValue(kProbeLabel, ToStd(split.status().message()));
    words = *split;
  }
  if (words.empty()) return BadValue(kProbeLabel, "names no program");
  return words;
}

Status ValidateProbe(const CompatProbe& probe) {
  size_t total = 0;
  RETURN_IF_ERROR(ValidateText("probe.name", probe.name, 100));
  for (const std::string& word : probe.command) {
    RETURN_IF_ERROR(CheckText("probe.command", word, total));
  }
  if (!probe.command.empty() && probe.command[0].empty())
    return BadValue("probe.command", "starts with ''");
  for (const std::string& entry : probe.env) {
    RETURN_IF_ERROR(CheckText("probe.env", entry, total));
    const size_t equals = entry.find('=');
    if (equals == 0 || equals == std::string::npos)
      return BadValue("probe.env", "has no NAME=value form");
  }
  RETURN_IF_ERROR(ValidateRange("probe.exit_code", probe.exit_code, 0, 255, ""));
  RETURN_IF_ERROR(CheckText("probe.output", probe.output.value_or(""), total));
  RETURN_IF_ERROR(CheckText("probe.output_contains", probe.output_contains.value_or(""), total));
  if (probe.output && probe.output_contains) {
    return BadValue("probe.output", "and probe.output_contains exclude each other");
  }
  if (probe.timeout <= std::chrono::milliseconds(0) || probe.timeout > kMaxProbeTimeout) {
    return BadValue("probe.timeout", "is not in the range up to 10 minutes");
  }
  return absl::OkStatus();
}

bool IsFresh(const CompatVerdict& verdict, std::string_view runtime_version,
             std::string_view platform, std::string_view architecture) {
  return verdict.runtime_version == runtime_version && verdict.platform == platform &&
         verdict.architecture == architecture;
}

}  // namespace claw
