#pragma once

#include <cstdint>

#include "agent/base/bytes.h"

namespace claw {

// The memory figures of a sandbox. They are never folded into one:
//   workload_bytes    what the tenant bought, and what its code sees
//   overhead_bytes    the tax of the runtime (gVisor's Sentry and gofer, the container's kernel
//                     memory)
//   cgroup_max_bytes  their sum, which the kernel enforces; read back after each start
//   request_bytes     of a burstable sandbox: what of workload_bytes is set aside for it alone; the
//                     rest is there with the chance that agent/budget/burst.h keeps. 0: guaranteed
struct Memory {
  int64_t workload_bytes = 0;
  int64_t overhead_bytes = 0;
  int64_t cgroup_max_bytes = 0;
  int64_t request_bytes = 0;

  bool operator==(const Memory&) const = default;
};

// Whether all of its workload is set aside for it.
constexpr bool IsGuaranteed(const Memory& memory) { return memory.request_bytes == 0; }

// What is set aside for its program alone.
constexpr int64_t RequestOf(const Memory& memory) {
  return IsGuaranteed(memory) ? memory.workload_bytes : memory.request_bytes;
}

// What it is charged by itself: invariant I2 is about the sum of these.
constexpr int64_t ChargedBytes(const Memory& memory) {
  return IsGuaranteed(memory) ? memory.cgroup_max_bytes
                              : SaturatingAdd(memory.request_bytes, memory.overhead_bytes);
}

// What a sandbox may use.
struct Resources {
  Memory memory{};
  int64_t cpu_millis = 0;  // thousandths of one CPU, as a ceiling; 0: no ceiling
  int64_t pids_max = 0;    // tasks of the tenant; the runtime's own threads come on top

  bool operator==(const Resources&) const = default;
};

// Bounds of a request. gVisor needs 16 MiB to start at all (measured, see the gVisor driver).
constexpr int64_t kMinWorkloadBytes = 16 * kMiB;
constexpr int64_t kMaxWorkloadBytes = int64_t{1} << 44;  // 16 TiB: no host is larger
constexpr int64_t kDefaultWorkloadBytes = 128 * kMiB;
constexpr int64_t kMinPriority = -1000;
constexpr int64_t kMaxPriority = 1000;
constexpr int64_t kMaxCpuMillis = 1024 * 1000;
constexpr int64_t kDefaultPidsMax = 1024;
constexpr int64_t kMaxPidsMax = 1 << 22;  // the kernel's PID_MAX_LIMIT

}  // namespace claw
