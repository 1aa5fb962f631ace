#pragma once

#include <cstdint>
#include <string>

namespace claw {

// What macOS says of its memory (kern.memorystatus_vm_pressure_level).
enum class MacMemoryLevel { kUnknown, kNormal, kWarning, kCritical };

// Where Homebrew has put what VMs need. Empty: it is not there.
struct MacPrograms {
  std::string emulator{};  // qemu-system-aarch64
  std::string firmware{};  // for guests that boot by EFI
  std::string libvirt{};   // the library

  bool operator==(const MacPrograms&) const = default;
};

// What a Mac is, beyond what any host is.
struct MacFacts {
  std::string model{};      // "Mac15,6"
  std::string chip{};       // "Apple M3 Pro"
  int chip_generation = 0;  // of Apple's M; 0: another
  int64_t performance_cores = 0;
  int64_t efficiency_cores = 0;
  int64_t memory_bytes = 0;  // one for processors and graphics
  int64_t page_size_bytes = 0;
  std::string os_version{};  // "15.1"
  bool hypervisor = false;   // Hypervisor.framework works here
  bool nested_virtualisation = false;
  MacMemoryLevel memory_level = MacMemoryLevel::kUnknown;
  MacPrograms programs{};

  bool operator==(const MacFacts&) const = default;
};

}  // namespace claw
