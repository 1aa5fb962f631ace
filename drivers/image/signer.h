#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/status.h"

namespace claw::image {

// Somebody whose signatures under images this node verifies (containers-signature(5), made by
// `skopeo copy --sign-by`, podman, or whatever else writes that form).
struct Signer {
  std::string name{};
  std::filesystem::path key_file{};  // OpenPGP public keys, armoured or not; absolute
  // Where the signatures of images in registries are: "https://…" or "file:///…", as `lookaside` of
  // containers-registries.d(5). Empty: nowhere, so only "dir:" sources can be verified.
  std::string signatures_url{};
};

// Errors: FAILED_PRECONDITION, SIGNER_UNKNOWN if there is none of that name, SIGNER_KEY_MISSING if
// its key cannot be read.
StatusOr<Signer> FindSigner(const std::vector<Signer>& signers, const std::string& name);

// skopeo's policy that takes nothing but what this signer signed, under the name of that repository
// ("registry.example.com/team/app"), whatever the tag; and where signatures are looked for.
std::string SignaturePolicy(const Signer& signer, std::string_view repository);
std::string SignatureLocations(const Signer& signer);

}  // namespace claw::image
