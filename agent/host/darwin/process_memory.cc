#include "agent/host/process_memory.h"

namespace claw::host {

// Of another process macOS tells no mapping without a right that the agent does not have.
StatusOr<int64_t> ResidentBeside(pid_t /*pid*/, int64_t /*guest_bytes*/,
                                 const std::filesystem::path& /*proc*/) {
  return Unimplemented("macOS does not tell what a process holds of each of its mappings");
}

}  // namespace claw::host
