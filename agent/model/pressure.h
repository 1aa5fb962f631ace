#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

namespace claw {

// What the kernel says of the machine's memory, at one moment.
struct MemoryPressure {
  std::chrono::microseconds at{};  // of a clock that is never set
  // Time in which at least one task, or every task, waited for memory, since the boot
  // (/proc/pressure/memory). Brought up to date by the kernel every two seconds.
  int64_t some_micros = 0;
  int64_t full_micros = 0;
  double some_avg10_percent = 0;  // the kernel's own average over ten seconds
  int64_t available_bytes = 0;    // what new programs could have without swapping (MemAvailable)
  // What the kernel manages (MemTotal): a guest's follows its balloon. 0: not known.
  int64_t total_bytes = 0;
  // How often all sandboxes together ran into the limit around them, and how often the kernel found
  // nothing to take back there and had to kill. Since that cgroup was made, or since the agent
  // looks.
  int64_t group_limit_hits = 0;
  int64_t group_ooms = 0;
};

// What the node does about it. Each includes what stands before it.
enum class PressureBand {
  kCalm,
  kShrink,  // gives caches back
  kRefuse,  // starts nothing
  kEvict,   // ends what uses more than it asked for
};

constexpr std::string_view ToString(PressureBand band) {
  switch (band) {
    case PressureBand::kCalm:
      return "calm";
    case PressureBand::kShrink:
      return "shrink";
    case PressureBand::kRefuse:
      return "refuse";
    case PressureBand::kEvict:
      return "evict";
  }
  return "?";
}

}  // namespace claw
