#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "agent/base/clock.h"

namespace claw {

// An image that is unpacked on this node, by the digest of its manifest (for one platform).
struct Image {
  std::string digest{};              // "sha256:" and 64 hexadecimal digits
  std::vector<std::string> names{};  // references that point at it, as they were pulled or imported
  std::string architecture{};        // "amd64", "arm64"
  std::string os = "linux";
  int64_t size_bytes = 0;  // unpacked, on disk
  std::vector<std::string> entrypoint{};
  std::vector<std::string> command{};
  std::vector<std::string> env{};
  std::string working_directory = "/";
  int64_t uid = 0;
  int64_t gid = 0;
  std::vector<int64_t> additional_gids{};
  int64_t dropped_device_nodes = 0;             // left out while unpacking
  int64_t cleared_setuid_bits = 0;              // setuid and setgid bits taken off while unpacking
  std::map<std::string, std::string> labels{};  // of the image's config
  std::vector<std::string> signers{};  // of the node's config, whose signature was verified
  Time created_at{};                   // when it came to this node

  bool operator==(const Image&) const = default;
};

}  // namespace claw
