#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "agent/base/status.h"

namespace claw::image {

// Where an image on this host's disk is taken from.
struct ImportSource {
  enum class Kind { kOci, kOciArchive, kDockerArchive, kDir, kRootfs };
  Kind kind = Kind::kRootfs;
  std::filesystem::path path;  // absolute, without ".."
  std::string name;            // tag or reference within; may be empty

  // "oci:/dir:tag", as skopeo takes it. Not for kRootfs.
  [[nodiscard]] std::string ForFetch() const;
};

// Reads "oci:/DIR[:TAG]", "oci-archive:/FILE[:TAG]", "docker-archive:/FILE[:REF]", "dir:/DIR",
// "rootfs:/DIR".
// Looks at the text only, not at the disk. Errors: BAD_REFERENCE.
StatusOr<ImportSource> ParseSource(std::string_view text);

}  // namespace claw::image
