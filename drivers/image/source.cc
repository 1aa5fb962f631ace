#include "drivers/image/source.h"

#include <absl/strings/ascii.h>

#include <algorithm>
#include <array>
#include <utility>

#include "drivers/image/errors.h"
#include "drivers/image/reference.h"

namespace claw::image {
namespace {

using Kind = ImportSource::Kind;

constexpr std::array<std::pair<std::string_view, Kind>, 5> kKinds = {
    {{"oci", Kind::kOci},
     {"oci-archive", Kind::kOciArchive},
     {"docker-archive", Kind::kDockerArchive},
     {"dir", Kind::kDir},
     {"rootfs", Kind::kRootfs}}};
constexpr size_t kMaxPathBytes = 4095;
constexpr size_t kMaxTagBytes = 256;

// Absolute, free of ".." and of control characters. Spaces and other bytes may be in file names.
bool IsSafePath(std::string_view path) {
  if (path.empty() || path.front() != '/' || path.size() > kMaxPathBytes) return false;
  if (std::any_of(path.begin(), path.end(),
                  [](char c) { return absl::ascii_iscntrl(static_cast<unsigned char>(c)); })) {
    return false;
  }
  const std::vector<std::string_view> parts = Split(path, '/');
  return std::none_of(parts.begin(), parts.end(),
                      [](std::string_view part) { return part == ".."; });
}

bool IsTagInLayout(std::string_view tag) {
  const auto allowed = [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           std::string_view("._-/+@:").find(c) != std::string_view::npos;
  };
  return tag.size() <= kMaxTagBytes && absl::ascii_isalnum(static_cast<unsigned char>(tag[0])) &&
         std::all_of(tag.begin(), tag.end(), allowed);
}

}  // namespace

std::string ImportSource::ForFetch() const {
  const auto* found = std::find_if(kKinds.begin(), kKinds.end(),
                                   [this](const auto& entry) { return entry.second == kind; });
  return StrCat(found->first, ":", path.string(), name.empty() ? "" : ":", name);
}

StatusOr<ImportSource> ParseSource(std::string_view text) {
  const auto bad = [text](std::string_view why) {
    return BadReference(StrCat("'", Printable(text, 200), "' is no image source: ", why));
  };
  const size_t colon = text.find(':');
  const auto* kind = std::find_if(kKinds.begin(), kKinds.end(), [&](const auto& entry) {
    return entry.first == text.substr(0, colon);
  });
  if (colon == std::string_view::npos || kind == kKinds.end()) {
    return bad("it starts with none of oci:, oci-archive:, docker-archive:, rootfs:");
  }
  ImportSource source;
  source.kind = kind->second;
  std::string_view path = text.substr(colon + 1);
  if (const size_t end = path.find(':'); end != std::string_view::npos) {
    if (source.kind == Kind::kRootfs || source.kind == Kind::kDir)
      return bad("the path has a ':' in it");
    source.name = std::string(path.substr(end + 1));
    path = path.substr(0, end);
    if (source.name.empty()) return bad("behind the path stands an empty tag");
  }
  if (!IsSafePath(path)) return bad("the path is not absolute, or has '..' or control bytes in it");
  source.path = std::string(path);
  if (source.name.empty()) return source;
  if (source.kind == Kind::kDockerArchive) {
    ASSIGN_OR_RETURN(const Reference reference, ParseReference(source.name));
    source.name = reference.ForFetch();
  } else if (!IsTagInLayout(source.name)) {
    return bad("the tag is not one");
  }
  return source;
}

}  // namespace claw::image
