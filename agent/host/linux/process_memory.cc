#include "agent/host/process_memory.h"

#include <algorithm>
#include <charconv>

#include "agent/base/bytes.h"
#include "agent/base/file.h"
#include "agent/base/strings.h"

namespace claw::host {
namespace {

struct Mapping {
  int64_t size_bytes = 0;
  int64_t resident_bytes = 0;
};

// "7f1c00000000-7f1c40000000 rw-p …" begins a mapping; its fields, "Rss: 4 kB", follow.
bool ParseRange(std::string_view word, int64_t& size_bytes) {
  const size_t dash = word.find('-');
  if (dash == std::string_view::npos) return false;
  uint64_t begin = 0;
  uint64_t end = 0;
  const auto parse = [](std::string_view text, uint64_t& value) {
    const char* const last = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), last, value, 16);
    return error == std::errc() && stop == last;
  };
  if (!parse(word.substr(0, dash), begin) || !parse(word.substr(dash + 1), end)) return false;
  if (end < begin || end - begin > uint64_t{INT64_MAX}) return false;
  size_bytes = static_cast<int64_t>(end - begin);
  return true;
}

int64_t Kib(const std::vector<std::string_view>& words) {
  int64_t kib = 0;
  if (words.size() < 2 || !ParseInt(words[1], &kib) || kib < 0) return 0;
  return SaturatingMul(kib, kKiB);
}

std::vector<Mapping> ParseMappings(std::string_view smaps) {
  std::vector<Mapping> mappings;
  for (const std::string_view line : Split(smaps, '\n', true)) {
    const std::vector<std::string_view> words = Split(line, ' ', true);
    if (words.empty()) continue;
    Mapping next;
    if (ParseRange(words[0], next.size_bytes)) {
      mappings.push_back(next);
    } else if (words[0] == "Rss:" && !mappings.empty()) {
      mappings.back().resident_bytes = Kib(words);
    }
  }
  return mappings;
}

int64_t PageTables(std::string_view status) {
  for (const std::string_view line : Split(status, '\n', true)) {
    if (!line.starts_with("VmPTE:")) continue;
    std::string text(line);
    std::replace(text.begin(), text.end(), '\t', ' ');
    return Kib(Split(text, ' ', true));
  }
  return 0;
}

}  // namespace

StatusOr<int64_t> ResidentBeside(pid_t pid, int64_t guest_bytes,
                                 const std::filesystem::path& proc) {
  const std::filesystem::path folder = proc / StrCat(pid);
  const StatusOr<std::string> smaps = ReadFile(folder / "smaps", 64 * kMiB);
  const StatusOr<std::string> status = ReadFile(folder / "status", 65536);
  if (!smaps.ok() || !status.ok()) return NotFound("there is no process ", pid);
  // Rounded up to huge pages at the most; anything much larger is something else.
  const int64_t most = SaturatingAdd(guest_bytes, 4 * kMiB);
  const std::vector<Mapping> mappings = ParseMappings(*smaps);
  int64_t beside = PageTables(*status);
  int guests = 0;
  for (const Mapping& mapping : mappings) {
    if (mapping.size_bytes >= guest_bytes && mapping.size_bytes <= most) {
      ++guests;
    } else {
      beside = SaturatingAdd(beside, mapping.resident_bytes);
    }
  }
  if (guests == 1) return beside;
  return NotFound("of the mappings of process ", pid, ", ", guests, " may be a guest's memory");
}

}  // namespace claw::host
