#include "drivers/image/signer.h"

#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "agent/base/strings.h"

namespace claw::image {
namespace {

using Json = nlohmann::json;

Json SignedBy(const Signer& signer, std::string_view repository) {
  return Json::array(
      {{{"type", "signedBy"},
        {"keyType", "GPGKeys"},
        {"keyPath", signer.key_file.string()},
        {"signedIdentity", {{"type", "exactRepository"}, {"dockerRepository", repository}}}}});
}

}  // namespace

StatusOr<Signer> FindSigner(const std::vector<Signer>& signers, const std::string& name) {
  const auto found = std::find_if(signers.begin(), signers.end(),
                                  [&name](const Signer& signer) { return signer.name == name; });
  if (found == signers.end()) {
    std::vector<std::string> names;
    for (const Signer& signer : signers) names.push_back(signer.name);
    const std::string known = names.empty() ? "none" : Join(names, ", ");
    return MakeError(
        StatusCode::kFailedPrecondition,
        StrCat("this node's config names no signer '", name, "' ([signers.", name,
               "] would); it names ", known),
        {.reason = "SIGNER_UNKNOWN", .constraint = "signer", .needed = name, .available = known});
  }
  if (::access(found->key_file.c_str(), R_OK) != 0) {
    return MakeError(StatusCode::kFailedPrecondition,
                     StrCat("the key of signer ", name, " cannot be read: ",
                            found->key_file.string(), " (signers.", name, ".key)"),
                     {.reason = "SIGNER_KEY_MISSING", .constraint = StrCat("signers.", name)});
  }
  return *found;
}

std::string SignaturePolicy(const Signer& signer, std::string_view repository) {
  const Json requirement = SignedBy(signer, repository);
  const Json policy = {
      {"default", Json::array({{{"type", "reject"}}})},
      {"transports", {{"docker", {{"", requirement}}}, {"dir", {{"", requirement}}}}}};
  return policy.dump();
}

std::string SignatureLocations(const Signer& signer) {
  if (signer.signatures_url.empty()) return "";
  // JSON is YAML.
  const Json locations = {{"default-docker", {{"lookaside", signer.signatures_url}}}};
  return locations.dump();
}

}  // namespace claw::image
