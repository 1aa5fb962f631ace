#include "agent/host/pressure.h"

#include <chrono>

#include "agent/host/darwin/sysctls.h"

namespace claw::host {

// What tenants do happens in guests, whose own agents see their stalls. Of the host its level is
// known; HostRuntimes adds it up.
StatusOr<MemoryPressure> ReadMemoryPressure(const std::filesystem::path& /*proc*/) {
  ASSIGN_OR_RETURN(const MacFacts facts, FactsOfMac(ReadMacSysctls()));
  ASSIGN_OR_RETURN(const MacPages pages, ReadMacPages());
  MemoryPressure pressure;
  pressure.at = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::steady_clock::now().time_since_epoch());
  pressure.total_bytes = facts.memory_bytes;
  pressure.some_avg10_percent = StallPercent(facts.memory_level);
  pressure.available_bytes = AvailableBytes(pages, facts.page_size_bytes);
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
