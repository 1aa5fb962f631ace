#include "agent/model/overhead.h"

#include "agent/base/strings.h"
#include "agent/model/enum_names.h"

namespace claw {
namespace {

constexpr EnumNames<OverheadLevel, 3> kLevelNames = {{
    {OverheadLevel::kImage, "image"},
    {OverheadLevel::kFamily, "family"},
    {OverheadLevel::kRuntime, "runtime"},
}};

}  // namespace

std::string_view ToString(OverheadLevel level) { return NameOf(kLevelNames, level); }
StatusOr<OverheadLevel> ParseOverheadLevel(std::string_view text) {
  return ValueOf(kLevelNames, "level of overhead", text);
}

std::string OverheadKey(OverheadLevel level, const SandboxClass& sandboxes) {
  const std::string runtime =
      StrCat(sandboxes.driver, "/", sandboxes.runtime_version, "/", sandboxes.platform, "/",
             sandboxes.architecture, "/", sandboxes.page_size_bytes);
  switch (level) {
    case OverheadLevel::kImage:
      return StrCat("image/", sandboxes.image_digest, "/", runtime);
    case OverheadLevel::kFamily:
      return StrCat("family/", sandboxes.image_family, "/", runtime);
    case OverheadLevel::kRuntime:
      break;
  }
  return StrCat("runtime/", runtime);
}

}  // namespace claw
