#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/status.h"

namespace claw::image {

// The part of an image's config that clawlet goes by.
struct ImageConfig {
  std::string architecture{};
  std::string os{};
  std::vector<std::string> entrypoint{};
  std::vector<std::string> command{};
  std::vector<std::string> env{};       // each "NAME=value"
  std::string working_directory = "/";  // absolute
  std::map<std::string, std::string> labels{};
  std::string user{};                   // as written: "", "1000", "app:staff"
  std::vector<std::string> diff_ids{};  // digests of the layers' tars, uncompressed
};

// Errors: CORRUPT_IMAGE for what is not JSON, for wrong types and for missing parts.
StatusOr<ImageConfig> ParseConfig(std::string_view json);

// Errors: UNSUPPORTED_ARCHITECTURE unless the image is for linux on `architecture`.
Status CheckPlatform(const ImageConfig& config, std::string_view architecture);

}  // namespace claw::image
