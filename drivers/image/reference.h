#pragma once

#include <string>
#include <string_view>

#include "agent/base/status.h"

namespace claw::image {

// A registry reference by its parts, defaults filled in. Everything in it comes from a small
// alphabet without spaces and does not start with '-', so that it may stand in an argv.
struct Reference {
  std::string domain;  // "docker.io", "127.0.0.1:5000", "[::1]:5000"
  std::string path;    // "library/busybox"
  std::string tag;     // "latest"; empty if only a digest was given
  std::string digest;  // "sha256:…"; empty if only a tag was given

  // "docker.io/library/busybox:latest", "host/path@sha256:…" or "host/path:tag@sha256:…".
  [[nodiscard]] std::string Normalized() const;
  // "domain/path@digest", for what the tag was resolved to.
  [[nodiscard]] std::string WithDigest(std::string_view pinned) const;
  // "domain/path".
  [[nodiscard]] std::string Repository() const { return domain + "/" + path; }
  // As skopeo takes it: by digest if there is one, otherwise by tag; it refuses both at once.
  [[nodiscard]] std::string ForFetch() const;
  // Whether the registry is this very host by its literal name: localhost, 127.0.0.0/8 or [::1].
  // Names are not looked up: what they resolve to may change between the check and the use.
  [[nodiscard]] bool IsLoopback() const;
};

// Errors: BAD_REFERENCE.
StatusOr<Reference> ParseReference(std::string_view text);

}  // namespace claw::image
