#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "agent/base/status.h"

namespace claw::host {

// What a process that runs a guest holds beside that guest's memory of `guest_bytes`, which is a
// mapping of its own: the resident pages of all other mappings, and the page tables of all. Walks
// the address space: some 10 ms for each GiB. NOT_FOUND if the process is gone or no mapping is
// that of a guest; UNIMPLEMENTED where the kernel does not tell. linux/ and darwin/ each have one.
StatusOr<int64_t> ResidentBeside(pid_t pid, int64_t guest_bytes,
                                 const std::filesystem::path& proc = "/proc");

}  // namespace claw::host
