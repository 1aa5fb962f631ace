#pragma once

#include <filesystem>
#include <string_view>

#include "agent/base/status.h"
#include "agent/base/unique_fd.h"
#include "agent/model/pressure.h"

namespace claw::host {

// What the machine's kernel says of its memory; what is about a group of sandboxes stays 0. Blocks
// for some microseconds. UNIMPLEMENTED where the kernel does not account for pressure.
StatusOr<MemoryPressure> ReadMemoryPressure(const std::filesystem::path& proc = "/proc");

// The text of /proc/pressure/memory and of /proc/meminfo.
StatusOr<MemoryPressure> ParseMemoryPressure(std::string_view pressure, std::string_view meminfo);

// A descriptor that has a priority event (POLLPRI) when tasks waited for memory for more than this
// share of a second, or of two where this process lacks CAP_SYS_RESOURCE; at most one event in that
// time. UNIMPLEMENTED as above.
StatusOr<UniqueFd> WatchMemoryStall(double share, const std::filesystem::path& proc = "/proc");

}  // namespace claw::host
