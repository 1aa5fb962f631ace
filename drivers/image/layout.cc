#include "drivers/image/layout.h"

#include <fcntl.h>

#include <cerrno>

#include "agent/base/bytes.h"
#include "agent/base/digest.h"
#include "agent/base/file.h"
#include "agent/base/unique_fd.h"
#include "drivers/image/errors.h"

namespace claw::image {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr int kMaxIndexDepth = 2;
constexpr char kManifestType[] = "application/vnd.oci.image.manifest.v1+json";
constexpr char kConfigType[] = "application/vnd.oci.image.config.v1+json";
constexpr char kTarType[] = "application/vnd.oci.image.layer.v1.tar";
constexpr char kGzipType[] = "application/vnd.oci.image.layer.v1.tar+gzip";

fs::path BlobPath(const fs::path& layout, std::string_view digest) {
  return layout / "blobs" / "sha256" / std::string(DigestHex(digest));
}

StatusOr<std::string> ReadSmallFile(const fs::path& path) {
  // A FIFO in somebody's layout would block for ever.
  std::error_code error;
  if (!fs::is_regular_file(path, error)) {
    return CorruptImage(StrCat("the image has no ", path.filename().string()));
  }
  auto text = ReadFile(path, static_cast<int64_t>(kMaxManifestBytes));
  if (text.ok()) return text;
  const auto detail = GetErrorDetail(text.status());
  if (detail && detail->reason == "FILE_TOO_LARGE") {
    return CorruptImage(StrCat(path.filename().string(), " of the image is beyond reason"));
  }
  return text.status();
}

StatusOr<std::string> ReadVerified(const fs::path& layout, const Descriptor& descriptor,
                                   std::string_view what) {
  ASSIGN_OR_RETURN(std::string bytes, ReadSmallFile(BlobPath(layout, descriptor.digest)));
  if (DigestOf(bytes) != descriptor.digest) {
    return CorruptImage(StrCat("the ", what, " is not the one its digest names"));
  }
  return bytes;
}

// A layout need not hold every platform that its index names, so what is not there is passed over.
Status VerifyEntries(const fs::path& layout, const Json& index, int depth) {
  ASSIGN_OR_RETURN(const auto entries, ParseIndex(index));
  for (const PlatformManifest& entry : entries) {
    std::error_code error;
    if (!fs::exists(BlobPath(layout, entry.manifest.digest), error)) continue;
    ASSIGN_OR_RETURN(const std::string bytes, ReadVerified(layout, entry.manifest, "manifest"));
    ASSIGN_OR_RETURN(const Json json, ParseJson(bytes, "a manifest"));
    if (IsIndex(json) && depth < kMaxIndexDepth) {
      RETURN_IF_ERROR(VerifyEntries(layout, json, depth + 1));
    }
  }
  return absl::OkStatus();
}

Json DescriptorJson(const char* type, std::string_view digest, int64_t size_bytes) {
  return {{"mediaType", type}, {"digest", std::string(digest)}, {"size", size_bytes}};
}

// Scans one layer and answers the descriptor under which it is unpacked.
StatusOr<Json> CheckLayer(const fs::path& layout, const Descriptor& layer,
                          const std::string& diff_id, const ScanLimits& limits, ScanUsage& usage) {
  const fs::path blob = BlobPath(layout, layer.digest);
  ASSIGN_OR_RETURN(const Compression compression, DetectCompression(blob));
  const fs::path plain = layout / "uncompressed";
  UniqueFd copy;
  if (compression == Compression::kZstd) {
    copy.reset(::open(plain.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!copy.valid()) return ErrnoError(errno, StrCat("create ", plain.string()));
  }
  ASSIGN_OR_RETURN(const ScannedLayer scanned, ScanLayer(blob, limits, usage, copy.get()));
  if (scanned.digest != layer.digest) {
    return CorruptImage(StrCat("layer ", layer.digest, " has the digest ", scanned.digest));
  }
  if (scanned.diff_id != diff_id) {
    return CorruptImage(
        StrCat("layer ", layer.digest, " holds ", scanned.diff_id, ", the config says ", diff_id));
  }
  if (compression != Compression::kZstd) {
    return DescriptorJson(compression == Compression::kGzip ? kGzipType : kTarType, scanned.digest,
                          scanned.blob_bytes);
  }
  std::error_code error;
  fs::rename(plain, BlobPath(layout, scanned.diff_id), error);
  if (error) return ErrnoError(error.value(), "put an uncompressed layer in place");
  return DescriptorJson(kTarType, scanned.diff_id, scanned.tar_bytes);
}

Status WriteForUnpacker(const fs::path& layout, const LayoutImage& image, Json layers) {
  const Json manifest = {{"schemaVersion", 2},
                         {"config", DescriptorJson(kConfigType, image.manifest.config.digest,
                                                   image.manifest.config.size_bytes)},
                         {"layers", std::move(layers)}};
  const std::string bytes = manifest.dump();
  const std::string digest = DigestOf(bytes);
  RETURN_IF_ERROR(WriteFileAtomic(BlobPath(layout, digest), bytes));
  Json entry = DescriptorJson(kManifestType, digest, static_cast<int64_t>(bytes.size()));
  entry["annotations"] = {{"org.opencontainers.image.ref.name", kLayoutTag}};
  const Json index = {{"schemaVersion", 2}, {"manifests", Json::array({entry})}};
  return WriteFileAtomic(layout / "index.json", index.dump());
}

}  // namespace

Status VerifyManifests(const fs::path& layout) {
  ASSIGN_OR_RETURN(const std::string index_text, ReadSmallFile(layout / "index.json"));
  ASSIGN_OR_RETURN(const Json index, ParseJson(index_text, "the layout's index"));
  return VerifyEntries(layout, index, /*depth=*/0);
}

StatusOr<LayoutImage> ReadLayout(const fs::path& layout) {
  ASSIGN_OR_RETURN(const std::string index_text, ReadSmallFile(layout / "index.json"));
  ASSIGN_OR_RETURN(const Json index, ParseJson(index_text, "the layout's index"));
  ASSIGN_OR_RETURN(const auto entries, ParseIndex(index));
  if (entries.size() != 1) {
    return CorruptImage(StrCat("expected one image, there are ", entries.size()));
  }
  LayoutImage image;
  image.digest = entries.front().manifest.digest;
  ASSIGN_OR_RETURN(const std::string manifest,
                   ReadVerified(layout, entries.front().manifest, "manifest"));
  ASSIGN_OR_RETURN(const Json json, ParseJson(manifest, "the manifest"));
  ASSIGN_OR_RETURN(image.manifest, ParseManifest(json));
  ASSIGN_OR_RETURN(const std::string config, ReadVerified(layout, image.manifest.config, "config"));
  image.manifest.config.size_bytes = static_cast<int64_t>(config.size());
  ASSIGN_OR_RETURN(image.config, ParseConfig(config));
  if (image.config.diff_ids.size() != image.manifest.layers.size()) {
    return CorruptImage(StrCat("the manifest has ", image.manifest.layers.size(),
                               " layers, the config ", image.config.diff_ids.size()));
  }
  return image;
}

Status CheckLayers(const fs::path& layout, const LayoutImage& image, const ScanLimits& limits,
                   ScanUsage& usage) {
  Json layers = Json::array();
  for (size_t i = 0; i < image.manifest.layers.size(); ++i) {
    ASSIGN_OR_RETURN(Json descriptor, CheckLayer(layout, image.manifest.layers[i],
                                                 image.config.diff_ids[i], limits, usage));
    layers.push_back(std::move(descriptor));
  }
  return WriteForUnpacker(layout, image, std::move(layers));
}

}  // namespace claw::image
