#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/status.h"

namespace claw::image {

// What a manifest says about a blob. The digest is well-formed; the size is what is claimed.
struct Descriptor {
  std::string digest;
  int64_t size_bytes = 0;
};

// The manifest of one platform, in the form of OCI or of Docker (v2, schema 2).
struct Manifest {
  Descriptor config;
  std::vector<Descriptor> layers;
};

// An index: which manifest is for which platform.
struct PlatformManifest {
  Descriptor manifest;
  std::string os;
  std::string architecture;
  std::string variant;
};

// More bytes than this are no manifest (registries keep to the same limit).
constexpr size_t kMaxManifestBytes = 4 << 20;

// The architecture this machine runs, as images name it: "amd64", "arm64".
std::string MachineArchitecture();

// JSON of an image: no exception, whatever the bytes. Errors: CORRUPT_IMAGE.
StatusOr<nlohmann::json> ParseJson(std::string_view text, std::string_view what);

// The string, the number or the list under a key; absent or null leaves the default. The wrong type
// is CORRUPT_IMAGE, as is a NUL within a string.
Status GetString(const nlohmann::json& object, const char* key, std::string& into);
Status GetInt(const nlohmann::json& object, const char* key, int64_t& into);
Status GetStrings(const nlohmann::json& object, const char* key, std::vector<std::string>& into);

bool IsIndex(const nlohmann::json& json);
// Errors: CORRUPT_IMAGE.
StatusOr<Manifest> ParseManifest(const nlohmann::json& json);
StatusOr<std::vector<PlatformManifest>> ParseIndex(const nlohmann::json& json);

// The manifest for linux on `architecture` (its base variant). Errors: UNSUPPORTED_ARCHITECTURE.
StatusOr<Descriptor> ChoosePlatform(const std::vector<PlatformManifest>& index,
                                    std::string_view architecture);

}  // namespace claw::image
