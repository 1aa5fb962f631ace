#include "tools/clawctl/image_source.h"

#include <array>
#include <filesystem>
#include <string_view>
#include <system_error>

namespace claw::ctl {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 5> kKinds = {
    "oci:", "oci-archive:", "docker-archive:", "dir:", "rootfs:"};

// A tag may follow the path behind a colon, but a path may have colons too: what exists decides.
size_t PathLength(const fs::path& base, const std::string& text) {
  std::error_code error;
  if (fs::exists(base / text, error)) return text.size();
  for (size_t colon = text.find(':'); colon != std::string::npos;
       colon = text.find(':', colon + 1)) {
    if (fs::exists(base / text.substr(0, colon), error)) return colon;
  }
  return std::min(text.find(':'), text.size());
}

std::string MakeAbsolute(const fs::path& base, const std::string& text) {
  const size_t length = PathLength(base, text);
  std::string path = fs::absolute(base / text.substr(0, length)).lexically_normal().string();
  if (path.size() > 1 && path.back() == '/') path.pop_back();
  return path + text.substr(length);
}

}  // namespace

StatusOr<std::string> CompleteImageSource(const std::string& source, const std::string& base) {
  for (const std::string_view kind : kKinds) {
    if (!source.starts_with(kind)) continue;
    const std::string rest = source.substr(kind.size());
    if (rest.empty()) return InvalidArgument("'", source, "' names no path");
    return StrCat(kind, MakeAbsolute(base, rest));
  }
  if (source.empty()) return InvalidArgument("the source is empty");
  const fs::path path = fs::path(base) / source.substr(0, PathLength(base, source));
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) return NotFound("there is no file or folder ", path.string());
  std::string_view kind = "docker-archive:";
  if (fs::is_directory(status)) kind = fs::exists(path / "oci-layout", error) ? "oci:" : "rootfs:";
  return StrCat(kind, MakeAbsolute(base, source));
}

}  // namespace claw::ctl
