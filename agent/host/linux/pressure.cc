#include "agent/host/pressure.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cmath>

#include "agent/base/bytes.h"
#include "agent/base/file.h"
#include "agent/base/strings.h"

namespace claw::host {
namespace fs = std::filesystem;
namespace {

constexpr int kSecondMicros = 1'000'000;

StatusOr<double> ParseDouble(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool sane = error == std::errc() && end == text.data() + text.size() && value >= 0;
  if (!sane) return DataLoss("'", text, "' is not a number of pressure");
  return value;
}

// The value of KEY=VALUE among the words of a line.
StatusOr<std::string_view> Field(const std::vector<std::string_view>& words, std::string_view key) {
  for (const std::string_view word : words) {
    if (word.starts_with(key) && word.size() > key.size() && word[key.size()] == '=') {
      return word.substr(key.size() + 1);
    }
  }
  return DataLoss("a line of pressure has no ", key);
}

Status ReadLine(std::string_view line, MemoryPressure& pressure) {
  const std::vector<std::string_view> words = Split(line, ' ', true);
  if (words.empty() || (words[0] != "some" && words[0] != "full")) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string_view total, Field(words, "total"));
  int64_t micros = 0;
  if (!ParseInt(total, &micros) || micros < 0) {
    return DataLoss("'", total, "' is not a time of pressure");
  }
  if (words[0] == "full") {
    pressure.full_micros = micros;
    return absl::OkStatus();
  }
  pressure.some_micros = micros;
  ASSIGN_OR_RETURN(const std::string_view average, Field(words, "avg10"));
  ASSIGN_OR_RETURN(pressure.some_avg10_percent, ParseDouble(average));
  return absl::OkStatus();
}

Status NoPressure(const Status& status) {
  if (status.code() != StatusCode::kNotFound) return status;
  return Unimplemented("this kernel does not account for memory pressure (", status.message(),
                       "); boot it with psi=1");
}

}  // namespace

StatusOr<MemoryPressure> ParseMemoryPressure(std::string_view pressure, std::string_view meminfo) {
  MemoryPressure parsed;
  for (const std::string_view line : Split(pressure, '\n', true)) {
    RETURN_IF_ERROR(ReadLine(line, parsed));
  }
  if (pressure.find("some ") == std::string_view::npos) {
    return DataLoss("the pressure of memory has no line 'some'");
  }
  for (const std::string_view line : Split(meminfo, '\n', true)) {
    const std::vector<std::string_view> words = Split(line, ' ', true);
    int64_t kib = 0;
    if (words.size() < 2 || !ParseInt(words[1], &kib) || kib < 0) continue;
    if (words[0] == "MemTotal:") parsed.total_bytes = SaturatingMul(kib, kKiB);
    if (words[0] != "MemAvailable:") continue;
    parsed.available_bytes = SaturatingMul(kib, kKiB);
    return parsed;
  }
  return DataLoss("meminfo has no MemAvailable");
}

StatusOr<MemoryPressure> ReadMemoryPressure(const fs::path& proc) {
  StatusOr<std::string> pressure = ReadFile(proc / "pressure/memory", 4096);
  if (!pressure.ok()) return NoPressure(pressure.status());
  ASSIGN_OR_RETURN(const std::string meminfo, ReadFile(proc / "meminfo", 65536));
  ASSIGN_OR_RETURN(MemoryPressure parsed, ParseMemoryPressure(*pressure, meminfo));
  parsed.at = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::steady_clock::now().time_since_epoch());
  return parsed;
}

StatusOr<UniqueFd> WatchMemoryStall(double share, const fs::path& proc) {
  const fs::path file = proc / "pressure/memory";
  int error = 0;
  // Without CAP_SYS_RESOURCE the kernel takes windows of multiples of two seconds only.
  for (const int window : {kSecondMicros, 2 * kSecondMicros}) {
    UniqueFd fd(::open(file.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
    if (!fd.valid()) return NoPressure(ErrnoError(errno, StrCat("open ", file.string())));
    const std::string trigger = StrCat("some ", std::lround(share * window), " ", window, "\n");
    if (::write(fd.get(), trigger.data(), trigger.size()) >= 0) return fd;
    error = errno;
  }
  return ErrnoError(error, StrCat("set a trigger in ", file.string()));
}

}  // namespace claw::host
