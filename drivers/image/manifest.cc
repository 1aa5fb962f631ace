#include "drivers/image/manifest.h"

#include <sys/utsname.h>

#include "agent/base/digest.h"
#include "drivers/image/errors.h"

namespace claw::image {
namespace {

using Json = nlohmann::json;

// Docker itself mounts at most 127 layers of an overlay; no builder makes more.
constexpr size_t kMaxLayers = 512;

Status WrongType(const char* key, std::string_view expected) {
  return CorruptImage(StrCat("'", key, "' is not ", expected));
}

StatusOr<Descriptor> ParseDescriptor(const Json& json, const char* what) {
  if (!json.is_object()) return WrongType(what, "an object");
  Descriptor descriptor;
  RETURN_IF_ERROR(GetString(json, "digest", descriptor.digest));
  RETURN_IF_ERROR(GetInt(json, "size", descriptor.size_bytes));
  if (!IsDigest(descriptor.digest)) {
    return CorruptImage(StrCat("a digest of '", what, "' is not sha256"));
  }
  if (descriptor.size_bytes < 0) {
    return CorruptImage(StrCat("a size of '", what, "' is negative"));
  }
  return descriptor;
}

}  // namespace

std::string MachineArchitecture() {
  utsname name{};
  ::uname(&name);
  const std::string_view machine = name.machine;
  if (machine == "x86_64") return "amd64";
  if (machine == "aarch64") return "arm64";
  return std::string(machine);
}

StatusOr<Json> ParseJson(std::string_view text, std::string_view what) {
  if (text.size() > kMaxManifestBytes) {
    return CorruptImage(StrCat(what, " is longer than ", kMaxManifestBytes, " bytes"));
  }
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return CorruptImage(StrCat(what, " is not a JSON object"));
  return json;
}

Status GetString(const Json& object, const char* key, std::string& into) {
  const auto it = object.find(key);
  if (it == object.end() || it->is_null()) return absl::OkStatus();
  const auto* text = it->get_ptr<const std::string*>();
  if (text == nullptr) return WrongType(key, "a string");
  if (text->find('\0') != std::string::npos) return WrongType(key, "free of NUL bytes");
  into = *text;
  return absl::OkStatus();
}

Status GetInt(const Json& object, const char* key, int64_t& into) {
  const auto it = object.find(key);
  if (it == object.end() || it->is_null()) return absl::OkStatus();
  if (const auto* positive = it->get_ptr<const uint64_t*>()) {
    if (*positive > INT64_MAX) return WrongType(key, "a 64-bit number");
    into = static_cast<int64_t>(*positive);
    return absl::OkStatus();
  }
  const auto* number = it->get_ptr<const int64_t*>();
  if (number == nullptr) return WrongType(key, "a whole number");
  into = *number;
  return absl::OkStatus();
}

Status GetStrings(const Json& object, const char* key, std::vector<std::string>& into) {
  const auto it = object.find(key);
  if (it == object.end() || it->is_null()) return absl::OkStatus();
  if (!it->is_array()) return WrongType(key, "a list");
  for (const Json& item : *it) {
    const auto* text = item.get_ptr<const std::string*>();
    if (text == nullptr) return WrongType(key, "a list of strings");
    if (text->find('\0') != std::string::npos) return WrongType(key, "free of NUL bytes");
    into.push_back(*text);
  }
  return absl::OkStatus();
}

// The media type is optional in OCI's manifests, so the shape decides.
bool IsIndex(const Json& json) { return json.contains("manifests") && !json.contains("layers"); }

StatusOr<Manifest> ParseManifest(const Json& json) {
  int64_t version = 2;
  RETURN_IF_ERROR(GetInt(json, "schemaVersion", version));
  if (version != 2) {
    return CorruptImage(StrCat("manifests of schema version ", version, " are not supported"));
  }
  const auto config = json.find("config");
  if (config == json.end()) return CorruptImage("the manifest names no config");
  Manifest manifest;
  ASSIGN_OR_RETURN(manifest.config, ParseDescriptor(*config, "config"));
  const auto layers = json.find("layers");
  if (layers == json.end() || layers->is_null()) return manifest;
  if (!layers->is_array()) return WrongType("layers", "a list");
  if (layers->size() > kMaxLayers) {
    return CorruptImage(StrCat("the manifest has ", layers->size(), " layers"));
  }
  for (const Json& layer : *layers) {
    ASSIGN_OR_RETURN(Descriptor descriptor, ParseDescriptor(layer, "layers"));
    manifest.layers.push_back(std::move(descriptor));
  }
  return manifest;
}

StatusOr<std::vector<PlatformManifest>> ParseIndex(const Json& json) {
  const auto manifests = json.find("manifests");
  if (manifests == json.end() || !manifests->is_array()) return WrongType("manifests", "a list");
  std::vector<PlatformManifest> index;
  for (const Json& entry : *manifests) {
    PlatformManifest& platform = index.emplace_back();
    ASSIGN_OR_RETURN(platform.manifest, ParseDescriptor(entry, "manifests"));
    const auto named = entry.find("platform");
    if (named == entry.end() || named->is_null()) continue;
    if (!named->is_object()) return WrongType("platform", "an object");
    RETURN_IF_ERROR(GetString(*named, "os", platform.os));
    RETURN_IF_ERROR(GetString(*named, "architecture", platform.architecture));
    RETURN_IF_ERROR(GetString(*named, "variant", platform.variant));
  }
  return index;
}

StatusOr<Descriptor> ChoosePlatform(const std::vector<PlatformManifest>& index,
                                    std::string_view architecture) {
  const std::string_view base = architecture == "arm64" ? "v8" : "v1";
  for (const std::string_view variant : {std::string_view(), base}) {
    for (const PlatformManifest& entry : index) {
      if (entry.os == "linux" && entry.architecture == architecture && entry.variant == variant) {
        return entry.manifest;
      }
    }
  }
  std::vector<std::string> there;
  for (const PlatformManifest& entry : index) {
    there.push_back(
        StrCat(entry.os, "/", entry.architecture, entry.variant.empty() ? "" : "/", entry.variant));
  }
  return UnsupportedArchitecture(Join(there, ", "), architecture);
}

}  // namespace claw::image
