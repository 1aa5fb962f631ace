#include "drivers/image/config.h"

#include <algorithm>
#include <filesystem>

#include "agent/base/digest.h"
#include "drivers/image/errors.h"
#include "drivers/image/manifest.h"

namespace claw::image {
namespace {

using Json = nlohmann::json;

// The object under a key, an empty one if it is absent or null.
StatusOr<Json> GetObject(const Json& json, const char* key) {
  const auto it = json.find(key);
  if (it == json.end() || it->is_null()) return Json::object();
  if (!it->is_object()) return CorruptImage(StrCat("'", key, "' is not an object"));
  return *it;
}

// Labels are a courtesy: what is not a string, or too much, is left out and no reason to refuse the
// image.
constexpr size_t kMaxLabels = 256;
constexpr size_t kMaxLabelBytes = 64 * 1024;

void ReadLabels(const Json& process, ImageConfig& config) {
  const auto labels = process.find("Labels");
  if (labels == process.end() || !labels->is_object()) return;
  for (const auto& [key, value] : labels->items()) {
    if (config.labels.size() == kMaxLabels) return;
    if (!value.is_string()) continue;
    std::string text = value.get<std::string>();
    if (!key.empty() && key.size() + text.size() <= kMaxLabelBytes) {
      config.labels[key] = std::move(text);
    }
  }
}

Status ReadProcess(const Json& process, ImageConfig& config) {
  ReadLabels(process, config);
  RETURN_IF_ERROR(GetStrings(process, "Entrypoint", config.entrypoint));
  RETURN_IF_ERROR(GetStrings(process, "Cmd", config.command));
  RETURN_IF_ERROR(GetStrings(process, "Env", config.env));
  RETURN_IF_ERROR(GetString(process, "User", config.user));
  for (const std::string& variable : config.env) {
    const size_t equals = variable.find('=');
    if (equals == 0 || equals == std::string::npos) {
      return CorruptImage(StrCat("'", Printable(variable, 80), "' in Env is no NAME=value"));
    }
  }
  std::string directory;
  RETURN_IF_ERROR(GetString(process, "WorkingDir", directory));
  config.working_directory = (std::filesystem::path("/") / directory).lexically_normal().string();
  return absl::OkStatus();
}

}  // namespace

StatusOr<ImageConfig> ParseConfig(std::string_view text) {
  ASSIGN_OR_RETURN(const Json json, ParseJson(text, "the image's config"));
  ImageConfig config;
  RETURN_IF_ERROR(GetString(json, "architecture", config.architecture));
  RETURN_IF_ERROR(GetString(json, "os", config.os));
  if (config.architecture.empty() || config.os.empty()) {
    return CorruptImage("the config does not say for which architecture and os the image is");
  }
  ASSIGN_OR_RETURN(const Json process, GetObject(json, "config"));
  RETURN_IF_ERROR(ReadProcess(process, config));
  ASSIGN_OR_RETURN(const Json rootfs, GetObject(json, "rootfs"));
  RETURN_IF_ERROR(GetStrings(rootfs, "diff_ids", config.diff_ids));
  if (!std::all_of(config.diff_ids.begin(), config.diff_ids.end(), IsDigest)) {
    return CorruptImage("a diff_id is not a sha256 digest");
  }
  return config;
}

Status CheckPlatform(const ImageConfig& config, std::string_view architecture) {
  if (config.os == "linux" && config.architecture == architecture) return absl::OkStatus();
  return UnsupportedArchitecture(StrCat(config.os, "/", config.architecture), architecture);
}

}  // namespace claw::image
