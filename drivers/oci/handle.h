#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "agent/base/status.h"
#include "agent/model/sandbox.h"

namespace claw::drivers {

// What an OCI driver has to know of a sandbox to find it again: the content of its handle.
struct OciInstance {
  std::string id{};
  ProcessIdentity process{};  // the sandbox's first process on the host
  ProcessIdentity conmon{};
  std::string nonce{};  // of the starter's report; empty where there is none
  int64_t workload_bytes = 0;
  int64_t cgroup_max_bytes = 0;
  uint32_t id_base = 0;       // 0: no user namespace
  bool network = false;       // it may have more than loopback
  bool masked_start = false;  // see gvisor/masked_start.h
};

// From the content that MakeHandle made.
DriverHandle HandleOf(std::string_view driver, std::string data);
DriverHandle MakeHandle(std::string_view driver, const OciInstance& instance);
// DATA_LOSS for a handle of another driver or version, and for one that cannot be read.
StatusOr<OciInstance> ParseHandle(std::string_view driver, const DriverHandle& handle);

}  // namespace claw::drivers
