#include "tools/clawctl/compat_image.h"

#include "tools/clawctl/error.h"
#include "tools/clawctl/format.h"
#include "tools/clawctl/resolve.h"

namespace claw::ctl {
namespace {

constexpr size_t kDigestDigits = 64;

bool IsDigest(std::string_view text) {
  if (!text.starts_with("sha256:")) return false;
  const std::string_view digits = StripPrefix(text, "sha256:");
  return digits.size() == kDigestDigits &&
         digits.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace

StatusOr<std::string> ResolveTested(Client& client, std::string_view typed) {
  const std::string_view bare = StripPrefix(typed, "images/");
  if (IsDigest(bare)) return StrCat("images/", bare);
  return ResolveImage(client, typed);
}

StatusOr<std::string> RequireDigest(Client& client, std::string_view typed) {
  const std::string_view bare = StripPrefix(typed, "images/");
  const size_t at = bare.rfind('@');
  const std::string_view digest = at == std::string_view::npos ? bare : bare.substr(at + 1);
  if (IsDigest(digest)) return StrCat("images/", digest);
  if (at != std::string_view::npos || digest.starts_with("sha256:")) {
    return UsageError(StrCat("'", digest, "' is not a whole digest, which is sha256: and ",
                             kDigestDigits, " hexadecimal digits"));
  }
  const auto image = client.GetImage(StrCat("images/", bare));
  if (!image.ok()) return image.status();
  return UsageError(StrCat("an override holds for one digest, since what a name means may change; ",
                           "'", bare, "' is ", bare, "@", BareName(image->name()), " now"));
}

}  // namespace claw::ctl
