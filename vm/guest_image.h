#pragma once

#include <filesystem>
#include <string>

#include "agent/base/status.h"
#include "vm/machines.h"

namespace claw::vm {

// A folder that `tools/guest-image build` made: what VMs are booted with.
struct GuestImage {
  GuestImageFacts facts{};
  std::filesystem::path kernel{};
  std::filesystem::path initramfs{};
  std::filesystem::path root{};  // a read-only disk
  std::string command_line{};
};

// Reads manifest.json, and each file to its end to compare it with the digest there (0.1 s for
// 100 MiB). FAILED_PRECONDITION, reason GUEST_IMAGE_MISSING: there is no manifest;
// GUEST_IMAGE_BROKEN: it cannot be believed, or a file is not what it says.
StatusOr<GuestImage> ReadGuestImage(const std::filesystem::path& folder);

// The manifest alone, as text.
StatusOr<GuestImage> ParseManifest(std::string_view text, const std::filesystem::path& folder);

}  // namespace claw::vm
