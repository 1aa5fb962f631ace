#pragma once

#include <cstdint>
#include <string>

#include "agent/base/status.h"

namespace claw::host {

// What this machine is. Read once at the start; changes only with a reboot.
struct HostInfo {
  std::string hostname{};
  std::string boot_id{};         // different after each boot
  std::string os{};              // "linux", "darwin"
  std::string architecture{};    // as Go and OCI name it: "amd64", "arm64"
  std::string kernel_version{};  // uname -r
  std::string hardware{};        // what people call it, where the system knows; of a Mac only
  int64_t page_size_bytes = 0;
  int cpus = 0;
  int64_t memory_bytes = 0;  // what the kernel manages
};

// Errors: those of the system calls. linux/ and darwin/ each have one.
StatusOr<HostInfo> ReadHostInfo();

}  // namespace claw::host
