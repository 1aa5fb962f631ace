#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "agent/base/bytes.h"
#include "agent/base/clock.h"
#include "agent/base/status.h"

namespace claw {

// A virtual machine of this host, and with it a guest that runs the same agent.
enum class VmState {
  kStopped,    // defined; takes no memory
  kStarting,   // its memory is charged; its agent has not answered yet
  kRunning,    // its agent answers
  kSuspended,  // stands still; its memory is charged
  kStopping,
  kLost,  // ended without being told to; takes no memory
};

std::string_view ToString(VmState state);  // "stopped", "starting", …
StatusOr<VmState> ParseVmState(std::string_view text);

// Whether a VM in this state may hold memory of the host.
constexpr bool HoldsMemory(VmState state) {
  return state != VmState::kStopped && state != VmState::kLost;
}

// INTERNAL if a VM cannot go from one to the other.
Status CheckTransition(VmState from, VmState to);

// What is asked for. 0: what the config says.
struct VmSpec {
  std::string name{};  // as ValidateName has it
  int64_t cpus = 0;
  int64_t memory_bytes = 0;  // of the guest
  int64_t disk_bytes = 0;    // for the guest's state: images and layers

  bool operator==(const VmSpec&) const = default;
};

struct Vm {
  VmSpec spec{};
  std::string uuid{};
  VmState state = VmState::kStopped;
  int64_t revision = 0;
  // What QEMU takes beside the guest's memory, as it is charged.
  int64_t overhead_bytes = 0;
  // Of the guest image that it was last started with: "sha256:…".
  std::string image_digest{};
  int64_t port = 0;  // on the host's loopback, forwarded to the guest's agent; 0: it has none
  bool cordoned = false;
  std::string cordon_reason{};
  std::string failure{};  // why it is lost, or did not start
  std::string boot_id{};  // of the guest, as last seen
  Time created_at{};
  Time started_at{};
  Time certificate_expires_at{};

  bool operator==(const Vm&) const = default;
};

// What proves the host to a guest, and the guest to the host. PEM.
struct GuestCredentials {
  std::string authority{};
  std::string certificate{};
  std::string key{};
};

// What the host's ledger is charged for it.
constexpr int64_t ChargedBytes(const Vm& vm) {
  return HoldsMemory(vm.state) ? SaturatingAdd(vm.spec.memory_bytes, vm.overhead_bytes) : 0;
}

// runsc and the agent want some; a guest below that is of no use.
constexpr int64_t kMinVmMemoryBytes = 384 * kMiB;
constexpr int64_t kMaxVmMemoryBytes = 1024 * kGiB;
constexpr int64_t kMinVmDiskBytes = 256 * kMiB;
constexpr int64_t kMaxVmDiskBytes = 16 * 1024 * kGiB;
// GIC version 2, which every host has, serves no more processors.
constexpr int64_t kMaxVmCpus = 8;

// Of a spec whose defaults are filled in. INVALID_ARGUMENT with the field as its constraint.
Status ValidateVmSpec(const VmSpec& spec);

}  // namespace claw
