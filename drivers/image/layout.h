#pragma once

#include <filesystem>
#include <string>

#include "agent/base/status.h"
#include "drivers/image/config.h"
#include "drivers/image/layer_scan.h"
#include "drivers/image/manifest.h"

namespace claw::image {

// The one tag that OCI layouts in our own temporary folders have.
inline constexpr char kLayoutTag[] = "image";

// An OCI layout of one image, as read from disk. Manifest and config match their digests.
struct LayoutImage {
  std::string digest;  // of the manifest in the layout
  Manifest manifest;
  ImageConfig config;
};

// Reads the layout's index, manifest and config. Errors: CORRUPT_IMAGE, IMAGE_TOO_LARGE (a
// manifest or config beyond all reason).
StatusOr<LayoutImage> ReadLayout(const std::filesystem::path& layout);

// Whether the manifests that somebody else's layout has are those that its index names, one index
// within another included. skopeo checks the digests of blobs, but not these. Errors:
// CORRUPT_IMAGE.
Status VerifyManifests(const std::filesystem::path& layout);

// Scans every layer (see ScanLayer), compares digests with what the manifest and the config say,
// and then rewrites the layout for the unpacker: media types by what the blobs really are, zstd
// layers uncompressed, nothing in the index but this image. So what is unpacked is what was
// scanned.
Status CheckLayers(const std::filesystem::path& layout, const LayoutImage& image,
                   const ScanLimits& limits, ScanUsage& usage);

}  // namespace claw::image
