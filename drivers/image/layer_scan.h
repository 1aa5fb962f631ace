#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "agent/base/status.h"

namespace claw::image {

// What an image may come to, counted over all of its layers.
struct ScanLimits {
  int64_t max_bytes = 0;   // file contents, uncompressed
  int64_t max_files = 0;   // entries of any kind
  int64_t disk_bytes = 0;  // what may still be written to the disk
};

struct ScanUsage {
  int64_t bytes = 0;
  int64_t files = 0;
  int64_t disk_bytes = 0;  // in whole blocks
};

enum class Compression { kNone, kGzip, kZstd };

struct ScannedLayer {
  std::string digest;   // of the blob as it is
  std::string diff_id;  // of the tar inside
  int64_t blob_bytes = 0;
  int64_t tar_bytes = 0;
  Compression compression = Compression::kNone;
};

// Reads a layer from end to end without writing anything, adds what unpacking would make to `usage`
// and stops at the first entry that may not be: names that climb out, whiteouts of ".", hard links
// to outside, a root that is no folder. What is counted is what headers declare and what the stream
// holds, so a bomb is refused after max_bytes, however small it came. If `copy_to` is not negative,
// the uncompressed tar is written there as well.
// Errors: MALICIOUS_LAYER, CORRUPT_IMAGE, IMAGE_TOO_LARGE, DISK_FULL.
StatusOr<ScannedLayer> ScanLayer(const std::filesystem::path& blob, const ScanLimits& limits,
                                 ScanUsage& usage, int copy_to = -1);

// Counts one more entry with so many bytes. Errors: IMAGE_TOO_LARGE, DISK_FULL.
Status AddEntry(int64_t size_bytes, const ScanLimits& limits, ScanUsage& usage);

// Whether an entry's name may be unpacked, by the name alone. A leading '/' is taken as the image's
// own root, as every unpacker does. Errors: MALICIOUS_LAYER, CORRUPT_IMAGE (too long, too deep).
Status CheckEntryName(std::string_view name);

// By the first bytes of the file, as media types are often wrong.
StatusOr<Compression> DetectCompression(const std::filesystem::path& file);

}  // namespace claw::image
