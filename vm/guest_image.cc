#include "vm/guest_image.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <vector>

#include "agent/base/bytes.h"
#include "agent/base/digest.h"
#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "agent/base/unique_fd.h"

namespace claw::vm {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxManifestBytes = 1 << 20;
constexpr int64_t kMaxPartBytes = 1024 * kGiB;

Status Broken(const std::filesystem::path& folder, std::string_view why) {
  return MakeError(StatusCode::kFailedPrecondition,
                   StrCat("the guest image in ", folder.string(), " cannot be used: ", why,
                          "; make it again with tools/guest-image build"),
                   {.reason = "GUEST_IMAGE_BROKEN", .constraint = "vm.image"});
}

StatusOr<std::string> HashFile(const std::filesystem::path& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file.valid()) return ErrnoError(errno, StrCat("open ", path.string()));
  Sha256 hash;
  std::vector<char> buffer(1 << 20);
  for (;;) {
    const ssize_t got = ::read(file.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoError(errno, StrCat("read ", path.string()));
    if (got == 0) return hash.Finish();
    hash.Update(std::string_view(buffer.data(), static_cast<size_t>(got)));
  }
}

struct Part {
  std::string file{};
  int64_t bytes = 0;
  std::string sha256{};
};

// nlohmann itself takes any number, and makes it fit.
int64_t ReadInt(const Json& json) {
  if (!json.is_number_integer()) throw std::invalid_argument("there is no whole number");
  return json.get<int64_t>();
}

// Throws what nlohmann throws.
Part ReadPart(const Json& files, const char* kind) {
  const Json& json = files.at(kind);
  return {.file = json.at("file").get<std::string>(),
          .bytes = ReadInt(json.at("bytes")),
          .sha256 = json.at("sha256").get<std::string>()};
}

struct Manifest {
  GuestImage image{};
  std::array<Part, 3> parts{};  // kernel, initramfs, root
};

constexpr std::array<const char*, 3> kKinds = {"kernel", "initramfs", "root"};

// As tools/guest-image has it: over the sorted lines of the files' digests and the command line.
std::string DigestOfManifest(const Manifest& manifest) {
  std::vector<std::string> lines = {StrCat("command_line ", manifest.image.command_line)};
  for (size_t i = 0; i < kKinds.size(); ++i) {
    lines.push_back(StrCat(kKinds[i], " ", manifest.parts[i].sha256));
  }
  std::sort(lines.begin(), lines.end());
  return DigestOf(StrCat(Join(lines, "\n"), "\n"));
}

Manifest Read(std::string_view text, const std::filesystem::path& folder) {
  const Json json = Json::parse(text);
  Manifest manifest;
  GuestImageFacts& facts = manifest.image.facts;
  if (ReadInt(json.at("format")) != 1) throw std::invalid_argument("its format is not 1");
  facts.folder = folder;
  facts.architecture = json.at("architecture").get<std::string>();
  facts.kernel_version = json.at("kernel_version").get<std::string>();
  facts.agent_version = json.at("clawlet_version").get<std::string>();
  facts.digest = json.at("digest").get<std::string>();
  manifest.image.command_line = json.at("command_line").get<std::string>();
  for (size_t i = 0; i < kKinds.size(); ++i) {
    manifest.parts[i] = ReadPart(json.at("files"), kKinds[i]);
  }
  for (const Json& package : json.at("packages")) {
    facts.packages.push_back({.name = package.at("name").get<std::string>(),
                              .version = package.at("version").get<std::string>(),
                              .sha256 = package.at("sha256").get<std::string>()});
  }
  return manifest;
}

StatusOr<Manifest> Parse(std::string_view text, const std::filesystem::path& folder) {
  Manifest manifest;
  try {
    manifest = Read(text, folder);
  } catch (const std::exception& error) {
    return Broken(folder, StrCat("its manifest cannot be read (", error.what(), ")"));
  }
  GuestImage& image = manifest.image;
  if (image.facts.architecture != "arm64") {
    return Broken(folder, StrCat("it is for ", image.facts.architecture, ", not arm64"));
  }
  for (const Part& part : manifest.parts) {
    const bool name = !part.file.empty() && part.file.find('/') == std::string::npos &&
                      part.file != "." && part.file != "..";
    if (!name) return Broken(folder, "its manifest names a file outside of the folder");
    if (part.bytes <= 0 || part.bytes > kMaxPartBytes || !IsDigestHex(part.sha256)) {
      return Broken(folder, StrCat("its manifest has no size or digest of ", part.file));
    }
    image.facts.size_bytes += part.bytes;
  }
  if (DigestOfManifest(manifest) != image.facts.digest) {
    return Broken(folder, "its manifest is not what its own digest promises");
  }
  image.kernel = folder / manifest.parts[0].file;
  image.initramfs = folder / manifest.parts[1].file;
  image.root = folder / manifest.parts[2].file;
  return manifest;
}

}  // namespace

StatusOr<GuestImage> ParseManifest(std::string_view text, const std::filesystem::path& folder) {
  ASSIGN_OR_RETURN(Manifest manifest, Parse(text, folder));
  return std::move(manifest.image);
}

StatusOr<GuestImage> ReadGuestImage(const std::filesystem::path& folder) {
  const StatusOr<std::string> text = ReadFile(folder / "manifest.json", kMaxManifestBytes);
  if (text.status().code() == StatusCode::kNotFound) {
    return MakeError(StatusCode::kFailedPrecondition,
                     StrCat("there is no guest image in ", folder.string(),
                            "; make one with tools/guest-image build, or set vm.image"),
                     {.reason = "GUEST_IMAGE_MISSING", .constraint = "vm.image"});
  }
  if (!text.ok()) return text.status();
  ASSIGN_OR_RETURN(Manifest manifest, Parse(*text, folder));
  for (const Part& part : manifest.parts) {
    const StatusOr<std::string> digest = HashFile(folder / part.file);
    if (!digest.ok()) return Broken(folder, ToStd(digest.status().message()));
    if (*digest != StrCat("sha256:", part.sha256)) {
      return Broken(folder, StrCat(part.file, " is not what the manifest promises"));
    }
  }
  return std::move(manifest.image);
}

}  // namespace claw::vm
