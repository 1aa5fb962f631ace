#include "agent/host/pressure.h"

#include <sys/sysctl.h>

#include <chrono>
#include <cstdint>

#include "agent/base/bytes.h"

namespace claw::host {

// macOS has no account of stalls. What tenants do there happens in guests, whose own agents see
// theirs; of the host only the memory that is left is known, as a share.
StatusOr<MemoryPressure> ReadMemoryPressure(const std::filesystem::path& /*proc*/) {
  uint32_t free_percent = 0;
  size_t size = sizeof free_percent;
  if (::sysctlbyname("kern.memorystatus_level", &free_percent, &size, nullptr, 0) != 0) {
    return Unimplemented("this kernel does not say how much of its memory is free");
  }
  uint64_t memory_bytes = 0;
  size = sizeof memory_bytes;
  if (::sysctlbyname("hw.memsize", &memory_bytes, &size, nullptr, 0) != 0) {
    return Unimplemented("this kernel does not say how much memory it has");
  }
  MemoryPressure pressure;
  pressure.at = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::steady_clock::now().time_since_epoch());
  pressure.available_bytes = static_cast<int64_t>(memory_bytes / 100 * free_percent);
  return pressure;
}

StatusOr<MemoryPressure> ParseMemoryPressure(std::string_view /*pressure*/,
                                             std::string_view /*meminfo*/) {
  return Unimplemented("there is no such account on macOS");
}

StatusOr<UniqueFd> WatchMemoryStall(double /*share*/, const std::filesystem::path& /*proc*/) {
  return Unimplemented("there are no triggers of memory pressure on macOS");
}

}  // namespace claw::host
