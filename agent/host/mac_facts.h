#pragma once

#include <array>
#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "agent/base/status.h"
#include "agent/model/mac.h"

// What follows from what a Mac's kernel says. Pure, and for every system: darwin/ only reads.

namespace claw::host {

// By their names in sysctl(8), as it prints them: "hw.memsize" -> "38654705664".
using Sysctls = std::map<std::string, std::string, std::less<>>;

// Those that FactsOfMac looks at. Not every Mac has each.
inline constexpr std::array<std::string_view, 9> kMacSysctls = {
    "hw.model",
    "machdep.cpu.brand_string",
    "hw.perflevel0.physicalcpu",
    "hw.perflevel1.physicalcpu",
    "hw.memsize",
    "hw.pagesize",
    "kern.osproductversion",
    "kern.hv_support",
    "kern.memorystatus_vm_pressure_level"};

// INTERNAL if the memory or the size of a page is missing, or is no number; all else may be.
StatusOr<MacFacts> FactsOfMac(const Sysctls& sysctls);

// "Apple M3 Pro" -> 3; 0 for what is none of them, as Intel's, and for a guest's "Apple processor".
int ChipGeneration(std::string_view chip);

// A guest may have guests of its own from the M3 and macOS 15 on.
bool HasNestedVirtualisation(int chip_generation, std::string_view os_version);

// 1, 2 and 4, as dispatch(3) has them (DISPATCH_MEMORYPRESSURE_…).
MacMemoryLevel ToMemoryLevel(std::string_view sysctl);

// One line for people: "Apple M3 Pro (Mac15,6), 6 + 6 cores, macOS 15.1".
std::string Describe(const MacFacts& facts);

// host_statistics64(HOST_VM_INFO64), in pages; vm_stat(1) prints the same.
struct MacPages {
  int64_t free = 0;         // free_count: with what was read ahead
  int64_t speculative = 0;  // what was read ahead, and belongs to files, too
  int64_t purgeable = 0;    // its owners can do without it
  int64_t file_backed = 0;  // external_page_count
};

// What new programs could have without anything being compressed or swapped.
int64_t AvailableBytes(const MacPages& pages, int64_t page_size_bytes);

// macOS keeps no account of stalls; its level stands for one. The share of time, in percent, that
// it counts as: a warning gives caches back, a critical level starts nothing, by the defaults of
// [pressure]. Nothing is evicted: what could be runs in guests, which look at their own memory.
double StallPercent(MacMemoryLevel level);

// Adds up the stall over time, as Linux does. Value type; not thread-safe.
class StallAccount {
 public:
  // The whole account, in microseconds, at a moment at which the level is `percent`. Since the look
  // before it was what it was then.
  int64_t Add(std::chrono::microseconds at, double percent);

 private:
  std::chrono::microseconds last_{};
  double percent_ = 0;
  double micros_ = 0;
};

// In Homebrew's folders, that of Apple's chips first.
MacPrograms FindMacPrograms(const std::function<bool(const std::filesystem::path&)>& exists);

}  // namespace claw::host
