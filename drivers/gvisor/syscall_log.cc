#include "drivers/gvisor/syscall_log.h"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <optional>
#include <tuple>

#include "agent/base/strings.h"
#include "drivers/oci/syscall_names.h"

namespace claw::drivers {
namespace {

// Two paths of 4 KiB and what is around them; a longer line is none of ours.
constexpr size_t kMaxLineBytes = 64 * 1024;
constexpr size_t kMaxNameBytes = 40;
// There are some 370 system calls, each with a few ways to fail.
constexpr size_t kMaxFailures = 2000;

constexpr std::string_view kTracer = " strace.go:";
constexpr std::string_view kComplainer = " compat.go:";
constexpr std::string_view kUnsupported = "] Unsupported syscall ";
constexpr std::string_view kExit = " X ";
constexpr std::string_view kErrno = ") errno=";

// The name of the call that a text begins with; empty if there is none.
std::string_view CallName(std::string_view text) {
  const size_t length = text.find('(');
  if (length == 0 || length > kMaxNameBytes) return {};
  const std::string_view name = text.substr(0, length);
  const bool sound = std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::islower(c) != 0 || std::isdigit(c) != 0 || c == '_';
  });
  return sound ? name : std::string_view();
}

std::optional<int> NumberIn(std::string_view name) {
  int64_t number = 0;
  if (!name.starts_with("sys_") || !ParseInt(name.substr(4), &number)) return std::nullopt;
  if (number < 0 || number > 100'000) return std::nullopt;
  return static_cast<int>(number);
}

FailedCall::Support SupportOf(const SupportTable& table, std::optional<int> number) {
  if (!number) return FailedCall::Support::kNone;
  const auto it = table.find(*number);
  return it == table.end() ? FailedCall::Support::kNone : it->second;
}

}  // namespace

void SyscallLog::Feed(std::string_view piece) {
  while (!piece.empty()) {
    const size_t end = piece.find('\n');
    const std::string_view part = piece.substr(0, end);
    if (rest_.size() + part.size() > kMaxLineBytes) skipping_ = true;
    if (!skipping_) rest_ += part;
    if (end == std::string_view::npos) return;
    piece.remove_prefix(end + 1);
    if (!skipping_) AddLine(rest_);
    rest_.clear();
    skipping_ = false;
  }
}

void SyscallLog::AddLine(std::string_view line) {
  // "I1125 14:54:45.283314   19326 strace.go:608] …": the source is near the beginning.
  const std::string_view head = line.substr(0, 80);
  if (head.find(kTracer) != std::string_view::npos) {
    const size_t exit = line.find(kExit);
    if (exit != std::string_view::npos) AddExit(line.substr(exit + kExit.size()));
  } else if (head.find(kComplainer) != std::string_view::npos) {
    const size_t start = line.find(kUnsupported);
    if (start != std::string_view::npos) AddUnsupported(line.substr(start + kUnsupported.size()));
  }
}

void SyscallLog::AddExit(std::string_view text) {
  const std::string_view name = CallName(text);
  if (name.empty()) return;
  const bool reported = reported_.erase(std::string(name)) > 0;
  // The last one: arguments may look like anything.
  const size_t at = text.rfind(kErrno);
  if (at == std::string_view::npos) {
    if (worked_.size() < kMaxFailures) worked_.emplace(name);
    return;
  }
  const std::string_view rest = text.substr(at + kErrno.size());
  int64_t error = 0;
  if (!ParseInt(rest.substr(0, rest.find(' ')), &error) || error <= 0 || error > 4095) return;
  const std::pair<std::string, int> key(name, static_cast<int>(error));
  if (failures_.size() >= kMaxFailures && failures_.count(key) == 0) {
    cut_ = true;
    return;
  }
  Failure& failure = failures_[key];
  ++failure.count;
  failure.reported = failure.reported || reported;
}

void SyscallLog::AddUnsupported(std::string_view text) {
  const std::string_view name = CallName(text);
  if (name.empty()) return;
  if (reported_.size() < kMaxFailures) reported_.emplace(name);
}

StatusOr<SupportTable> ParseSupportTable(const std::string& text, const std::string& architecture) {
  using Json = nlohmann::json;
  const Json json = Json::parse(text, nullptr, false);
  const Json::json_pointer path("/linux/" + architecture + "/syscalls");
  if (json.is_discarded() || !json.contains(path) || !json.at(path).is_object()) {
    return DataLoss("the runtime's table of system calls has none for linux/", architecture);
  }
  SupportTable table;
  for (const auto& [key, entry] : json.at(path).items()) {
    int64_t number = 0;
    const auto support = entry.is_object() ? entry.find("support") : entry.end();
    if (!ParseInt(key, &number) || number < 0 || number > 100'000 || support == entry.end() ||
        !support->is_string()) {
      return DataLoss("the runtime's table of system calls has an odd entry at '", key, "'");
    }
    const std::string level = support->get<std::string>();
    FailedCall::Support value = FailedCall::Support::kNone;
    if (level == "Full Support") value = FailedCall::Support::kFull;
    if (level == "Partial Support") value = FailedCall::Support::kPartial;
    table[static_cast<int>(number)] = value;
  }
  return table;
}

SyscallReport MakeReport(const SyscallLog& log, const SupportTable& table) {
  SyscallReport report;
  report.cut = log.cut();
  for (const auto& [key, failure] : log.failures()) {
    FailedCall call{.name = key.first,
                    .error_number = key.second,
                    .count = failure.count,
                    .reported = failure.reported,
                    .never_worked = !log.Worked(key.first)};
    std::optional<int> number = NumberIn(call.name);
    if (number) {
      call.name = SyscallName(*number);
    } else {
      number = SyscallNumber(call.name);
    }
    call.support = SupportOf(table, number);
    report.calls.push_back(std::move(call));
  }
  std::sort(report.calls.begin(), report.calls.end(), [](const FailedCall& a, const FailedCall& b) {
    return std::tie(a.name, a.error_number) < std::tie(b.name, b.error_number);
  });
  return report;
}

}  // namespace claw::drivers
