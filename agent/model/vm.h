#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/bytes.h"
#include "agent/base/clock.h"
#include "agent/base/status.h"
#include "agent/model/isolation.h"

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

// Of all guests: the images that tools/guest-image makes.
constexpr char kGuestArchitecture[] = "arm64";

// What a guest has to offer, as its agent said when it was last looked at: known while it is off,
// too.
struct GuestPlatform {
  std::string architecture{};  // empty: nobody has looked
  int64_t page_size_bytes = 0;
  int64_t cpus = 0;
  int64_t allocatable_bytes = 0;  // of its own ledger
  struct Runtime {
    std::string driver{};
    IsolationClass isolation = IsolationClass::kGvisor;
    std::string problem{};  // why it does not work; empty: it does
    std::string version{};
    std::string platform{};
    int64_t overhead_prior_bytes = 0;

    bool operator==(const Runtime&) const = default;
  };
  std::vector<Runtime> runtimes{};

  bool operator==(const GuestPlatform&) const = default;
};

struct Vm {
  VmSpec spec{};
  std::string uuid{};
  VmState state = VmState::kStopped;
  int64_t revision = 0;
  // What QEMU takes beside the guest's memory, as it is charged.
  int64_t overhead_bytes = 0;
  // The most that it was seen to take, with a margin; fades from boot to boot. 0: nobody has
  // looked.
  int64_t measured_overhead_bytes = 0;
  // What the guest is to have, the rest being in its balloon; 0: all of its memory.
  int64_t balloon_bytes = 0;
  // What it may hold beyond that, until it has been seen to have given it back; 0: nothing.
  int64_t high_water_bytes = 0;
  // Of the guest image that it was last started with: "sha256:…".
  std::string image_digest{};
  int64_t port = 0;        // on the host's loopback, forwarded to the guest's agent; 0: it has none
  bool on_demand = false;  // made because a sandbox needed it: stopped again when it stands idle
  GuestPlatform platform{};
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

// What the guest of one that is on is to have.
constexpr int64_t BalloonOf(const Vm& vm) {
  return vm.balloon_bytes > 0 ? vm.balloon_bytes : vm.spec.memory_bytes;
}

// What the guest of one that is on may hold.
constexpr int64_t GuestBytes(const Vm& vm) {
  return BalloonOf(vm) > vm.high_water_bytes ? BalloonOf(vm) : vm.high_water_bytes;
}

// What the host's ledger is charged for it.
constexpr int64_t ChargedBytes(const Vm& vm) {
  return HoldsMemory(vm.state) ? SaturatingAdd(GuestBytes(vm), vm.overhead_bytes) : 0;
}

// What one that is switched on is charged for QEMU: what was seen, but no less than a quarter of
// the guess, or the guess.
constexpr int64_t OverheadAtBoot(const Vm& vm, int64_t guess_bytes) {
  if (vm.measured_overhead_bytes <= 0) return guess_bytes;
  return vm.measured_overhead_bytes > guess_bytes / 4 ? vm.measured_overhead_bytes
                                                      : guess_bytes / 4;
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
