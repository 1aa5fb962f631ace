#include "tests/support/image_maker.h"

#include <archive.h>
#include <archive_entry.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "agent/base/digest.h"
#include "drivers/image/manifest.h"

namespace claw::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr size_t kBlock = 512;

void Pad(std::string& tar) { tar.resize((tar.size() + kBlock - 1) / kBlock * kBlock, '\0'); }

void PutOctal(char* field, size_t width, uint64_t value) {
  for (size_t i = width - 1; i-- > 0; value >>= 3) field[i] = static_cast<char>('0' + (value & 7));
}

// Octal, or base 256 behind a set top bit where octal is too short.
void PutSize(char* field, uint64_t value) {
  if (value < (uint64_t{1} << 33)) return PutOctal(field, 12, value);
  for (size_t i = 12; i-- > 1; value >>= 8) field[i] = static_cast<char>(value & 0xff);
  field[0] = static_cast<char>(0x80);
}

std::string Header(const TarEntry& entry, uint64_t size) {
  std::string header(kBlock, '\0');
  char* h = header.data();
  std::memcpy(h, entry.name.data(), std::min<size_t>(entry.name.size(), 100));
  PutOctal(h + 100, 8, entry.mode);
  PutOctal(h + 108, 8, static_cast<uint64_t>(entry.uid));
  PutOctal(h + 116, 8, static_cast<uint64_t>(entry.gid));
  PutSize(h + 124, size);
  PutOctal(h + 136, 12, 1'700'000'000);
  h[156] = entry.type;
  std::memcpy(h + 157, entry.link.data(), std::min<size_t>(entry.link.size(), 100));
  std::memcpy(h + 257, "ustar\00000", 8);
  const bool device = entry.type == '3' || entry.type == '4';
  PutOctal(h + 329, 8, device ? 1 : 0);
  PutOctal(h + 337, 8, device ? 3 : 0);
  std::memset(h + 148, ' ', 8);
  uint64_t sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  PutOctal(h + 148, 7, sum);
  h[154] = '\0';
  return header;
}

std::string PaxRecord(const std::string& key, const std::string& value) {
  const std::string tail = " " + key + "=" + value + "\n";
  size_t length = tail.size() + 1;
  while (std::to_string(length).size() + tail.size() != length) ++length;
  return std::to_string(length) + tail;
}

void PutEntry(std::string& tar, const TarEntry& entry) {
  std::string records;
  for (const auto& [key, value] : entry.pax) records += PaxRecord(key, value);
  if (!records.empty()) {
    tar += Header({.name = "PaxHeaders/x", .type = 'x'}, records.size()) + records;
    Pad(tar);
  }
  const auto size =
      entry.declared_size < 0 ? entry.content.size() : static_cast<uint64_t>(entry.declared_size);
  tar += Header(entry, size) + entry.content;
  Pad(tar);
}

std::string PutBlob(const fs::path& layout, const std::string& bytes) {
  const std::string digest = DigestOf(bytes);
  WriteBytes(BlobFile(layout, digest), bytes);
  return digest;
}

Json MakeConfig(const ImageSpec& image, const std::vector<std::string>& diff_ids) {
  return {{"architecture",
           image.architecture.empty() ? image::MachineArchitecture() : image.architecture},
          {"os", "linux"},
          {"config", Json::parse(image.process_json)},
          {"rootfs", {{"type", "layers"}, {"diff_ids", diff_ids}}}};
}

std::string TarOf(const ImageLayer& layer) {
  return layer.raw_tar.empty() ? MakeTar(layer.entries) : layer.raw_tar;
}

// Blobs of one image; answers the manifest's descriptor with its platform.
Json PutImage(const fs::path& layout, const ImageSpec& image) {
  Json layers = Json::array();
  std::vector<std::string> diff_ids;
  for (const ImageLayer& layer : image.layers) {
    const std::string tar = TarOf(layer);
    const std::string blob = Compress(tar, layer.compression);
    diff_ids.push_back(DigestOf(image.wrong_diff_ids ? tar + "x" : tar));
    const std::string suffix = layer.compression == "none" ? "" : "+" + layer.compression;
    layers.push_back({{"mediaType", "application/vnd.oci.image.layer.v1.tar" + suffix},
                      {"digest", PutBlob(layout, blob)},
                      {"size", blob.size()}});
  }
  const std::string config =
      image.config_json.empty() ? MakeConfig(image, diff_ids).dump() : image.config_json;
  const Json manifest = {{"schemaVersion", 2},
                         {"mediaType", "application/vnd.oci.image.manifest.v1+json"},
                         {"config",
                          {{"mediaType", "application/vnd.oci.image.config.v1+json"},
                           {"digest", PutBlob(layout, config)},
                           {"size", config.size()}}},
                         {"layers", layers}};
  const std::string bytes = manifest.dump();
  const std::string architecture =
      image.architecture.empty() ? image::MachineArchitecture() : image.architecture;
  return {{"mediaType", "application/vnd.oci.image.manifest.v1+json"},
          {"digest", PutBlob(layout, bytes)},
          {"size", bytes.size()},
          {"platform", {{"architecture", architecture}, {"os", "linux"}}}};
}

void FinishLayout(const fs::path& layout, Json descriptor) {
  descriptor["annotations"] = {{"org.opencontainers.image.ref.name", "v1"}};
  WriteBytes(layout / "oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
  const Json index = {{"schemaVersion", 2}, {"manifests", Json::array({descriptor})}};
  WriteBytes(layout / "index.json", index.dump());
}

}  // namespace

void WriteBytes(const fs::path& file, std::string_view bytes) {
  fs::create_directories(file.parent_path());
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!out.flush()) throw std::runtime_error("cannot write " + file.string());
}

std::string ReadBytes(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + file.string());
  return {std::istreambuf_iterator<char>(in), {}};
}

fs::path BlobFile(const fs::path& layout, std::string_view digest) {
  return layout / "blobs" / "sha256" / std::string(DigestHex(digest));
}

std::string MakeTar(const std::vector<TarEntry>& entries) {
  std::string tar;
  for (const TarEntry& entry : entries) PutEntry(tar, entry);
  return tar + std::string(2 * kBlock, '\0');
}

std::string Compress(std::string_view bytes, std::string_view with) {
  if (with == "none") return std::string(bytes);
  std::string out;
  archive* writer = archive_write_new();
  archive_write_set_format_raw(writer);
  if (with == "gzip") {
    archive_write_add_filter_gzip(writer);
    archive_write_set_filter_option(writer, "gzip", "timestamp", nullptr);
  } else {
    archive_write_add_filter_zstd(writer);
  }
  archive_write_set_bytes_in_last_block(writer, 1);
  const auto append = [](archive*, void* into, const void* data, size_t size) -> la_ssize_t {
    static_cast<std::string*>(into)->append(static_cast<const char*>(data), size);
    return static_cast<la_ssize_t>(size);
  };
  archive_write_open(writer, &out, nullptr, append, nullptr);
  archive_entry* entry = archive_entry_new();
  archive_entry_set_filetype(entry, AE_IFREG);
  archive_write_header(writer, entry);
  archive_write_data(writer, bytes.data(), bytes.size());
  archive_entry_free(entry);
  const int closed = archive_write_close(writer);
  archive_write_free(writer);
  if (closed != ARCHIVE_OK) throw std::runtime_error("cannot compress");
  return out;
}

ImageLayer BusyboxLayer() {
  return {.entries = {{.name = "bin/", .type = '5'},
                      {.name = "bin/busybox", .content = ReadBytes("/bin/busybox")},
                      {.name = "bin/sh", .type = '2', .link = "busybox"},
                      {.name = "etc/", .type = '5'}}};
}

ImageSpec BusyboxImage() { return {.layers = {BusyboxLayer()}}; }

std::string WriteOciLayout(const fs::path& folder, const ImageSpec& image) {
  const Json descriptor = PutImage(folder, image);
  FinishLayout(folder, descriptor);
  return descriptor["digest"].get<std::string>();
}

std::vector<std::string> WriteOciIndex(const fs::path& folder,
                                       const std::vector<ImageSpec>& images) {
  Json manifests = Json::array();
  std::vector<std::string> digests;
  for (const ImageSpec& image : images) {
    manifests.push_back(PutImage(folder, image));
    digests.push_back(manifests.back()["digest"].get<std::string>());
  }
  const std::string index = Json{
      {"schemaVersion", 2},
      {"mediaType", "application/vnd.oci.image.index.v1+json"},
      {"manifests", manifests}}.dump();
  FinishLayout(folder, {{"mediaType", "application/vnd.oci.image.index.v1+json"},
                        {"digest", PutBlob(folder, index)},
                        {"size", index.size()}});
  return digests;
}

void WriteOciArchive(const fs::path& file, const ImageSpec& image) {
  fs::path layout = file;
  layout += ".layout";
  WriteOciLayout(layout, image);
  std::vector<TarEntry> entries;
  for (const auto& entry : fs::recursive_directory_iterator(layout)) {
    const std::string name = fs::relative(entry.path(), layout).string();
    if (entry.is_directory()) {
      entries.push_back({.name = name + "/", .type = '5'});
    } else {
      entries.push_back({.name = name, .content = ReadBytes(entry.path()), .mode = 0644});
    }
  }
  WriteBytes(file, MakeTar(entries));
  fs::remove_all(layout);
}

void WriteDockerArchive(const fs::path& file, const ImageSpec& image,
                        const std::string& reference) {
  std::vector<TarEntry> entries;
  std::vector<std::string> names;
  std::vector<std::string> diff_ids;
  for (const ImageLayer& layer : image.layers) {
    const std::string tar = TarOf(layer);
    diff_ids.push_back(DigestOf(tar));
    names.push_back(std::string(DigestHex(diff_ids.back())) + ".tar");
    entries.push_back({.name = names.back(), .content = tar, .mode = 0644});
  }
  const std::string config = MakeConfig(image, diff_ids).dump();
  const std::string config_name = std::string(DigestHex(DigestOf(config))) + ".json";
  entries.push_back({.name = config_name, .content = config, .mode = 0644});
  const Json manifest = Json::array(
      {{{"Config", config_name}, {"RepoTags", Json::array({reference})}, {"Layers", names}}});
  entries.push_back({.name = "manifest.json", .content = manifest.dump(), .mode = 0644});
  WriteBytes(file, MakeTar(entries));
}

}  // namespace claw::test
