#include "agent/model/vm.h"

#include <array>

#include "agent/base/strings.h"
#include "agent/model/tenant.h"
#include "agent/model/validate.h"

namespace claw {
namespace {

struct Named {
  VmState state;
  std::string_view name;
};

constexpr std::array<Named, 6> kStates = {{{VmState::kStopped, "stopped"},
                                           {VmState::kStarting, "starting"},
                                           {VmState::kRunning, "running"},
                                           {VmState::kSuspended, "suspended"},
                                           {VmState::kStopping, "stopping"},
                                           {VmState::kLost, "lost"}}};

bool MayFollow(VmState from, VmState to) {
  switch (from) {
    case VmState::kStopped:
    case VmState::kLost:
      return to == VmState::kStarting || to == VmState::kStopped;
    case VmState::kStarting:
      return to == VmState::kRunning || to == VmState::kStopping || to == VmState::kStopped ||
             to == VmState::kLost;
    case VmState::kRunning:
      return to != VmState::kStopped;
    case VmState::kSuspended:
      return to == VmState::kStarting || to == VmState::kRunning || to == VmState::kStopping ||
             to == VmState::kLost;
    case VmState::kStopping:
      return to == VmState::kStopped || to == VmState::kLost;
  }
  return false;
}

}  // namespace

std::string_view ToString(VmState state) {
  for (const Named& known : kStates) {
    if (known.state == state) return known.name;
  }
  return "?";
}

StatusOr<VmState> ParseVmState(std::string_view text) {
  for (const Named& known : kStates) {
    if (known.name == text) return known.state;
  }
  return InvalidArgument("'", text, "' is no state of a VM");
}

Status CheckTransition(VmState from, VmState to) {
  if (from == to || MayFollow(from, to)) return absl::OkStatus();
  return Internal("a VM does not go from ", ToString(from), " to ", ToString(to));
}

Status ValidateVmSpec(const VmSpec& spec) {
  RETURN_IF_ERROR(ValidateName("name", spec.name));
  RETURN_IF_ERROR(ValidateRange("cpus", spec.cpus, 1, kMaxVmCpus, "processors"));
  RETURN_IF_ERROR(ValidateRange("memory_bytes", spec.memory_bytes, kMinVmMemoryBytes,
                                kMaxVmMemoryBytes, "bytes"));
  return ValidateRange("disk_bytes", spec.disk_bytes, kMinVmDiskBytes, kMaxVmDiskBytes, "bytes");
}

}  // namespace claw
