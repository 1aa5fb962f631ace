#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

#include "agent/base/status.h"
#include "agent/model/image.h"
#include "claw/node/v1/guest.grpc.pb.h"

namespace claw::drivers {

// Called on the sender's thread, after each chunk, with the bytes of the tar that are on their way.
using SendProgress = std::function<void(int64_t sent_bytes)>;

// Sends an image of this host's store, whose root file system lies in `rootfs`, to the agent of a
// guest, unless it has it already; its names and signers go along. Answers with the image as the
// guest has it. Blocks, for pool threads; `progress` may be empty. Errors: UNAVAILABLE
// (GUEST_UNREACHABLE), RESOURCE_EXHAUSTED (DISK_FULL: the guest's), what else the guest's store
// refuses with (ImageStore::Receive), those of this host's disk.
StatusOr<Image> SendImage(node::v1::GuestService::StubInterface& guest, const Image& image,
                          const std::filesystem::path& rootfs, const SendProgress& progress);

}  // namespace claw::drivers
