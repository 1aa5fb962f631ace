#pragma once

#include <filesystem>
#include <string>

#include "agent/base/status.h"

namespace claw::vm {

// libvirt's QEMU driver inside of this process, with all of its files below one folder: no daemon,
// and nothing shared with the machine's own libvirt. QEMU outlives the process, and the next one
// that opens the folder finds it again. The first time it asks QEMU what it can, which takes some
// 15 s; the answer is kept.
//
// Writes the driver's settings and answers with the URI. INVALID_ARGUMENT if the path is too long
// for the sockets below it.
StatusOr<std::string> PrepareEmbedded(const std::filesystem::path& root);

}  // namespace claw::vm
