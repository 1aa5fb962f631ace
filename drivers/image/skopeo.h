#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "agent/base/status.h"
#include "drivers/image/guarded_run.h"
#include "drivers/image/reference.h"
#include "drivers/image/signer.h"

namespace claw::image {

// skopeo, shut into a private folder: its policy, its registry settings, its home and its temporary
// files lie there, so neither the settings nor the credentials of whoever started the agent have a
// say. Registries are asked anonymously. Blocks.
class Skopeo {
 public:
  // Makes the folder `scratch`/skopeo. `guard` bounds every run.
  static StatusOr<Skopeo> Make(const std::filesystem::path& scratch, const Guard& guard);

  // From now on nothing is fetched or copied that does not carry this signature, under the name of
  // this repository: SIGNATURE_REJECTED.
  Status Require(const Signer& signer, std::string_view repository);

  // The manifest or index that a registry has under the reference, byte for byte.
  // Errors: those of the registry as ImageStore::Pull has them.
  StatusOr<std::string> RawManifest(const std::string& reference, bool insecure) const;

  // Copies one image from a registry into a new OCI layout, tagged kLayoutTag.
  Status Fetch(const std::string& reference, bool insecure,
               const std::filesystem::path& layout) const;

  // The same from this host's disk: "oci:/dir:tag", "oci-archive:/file", "docker-archive:/file",
  // "dir:/dir". Of several platforms, that of `architecture`.
  Status Copy(const std::string& source, const std::string& architecture,
              const std::filesystem::path& layout) const;

 private:
  Skopeo(std::filesystem::path home, Guard guard)
      : home_(std::move(home)), guard_(std::move(guard)) {}
  StatusOr<RunResult> RunSkopeo(const std::vector<std::string>& args, const Guard& guard) const;
  Status CopyTo(const std::filesystem::path& layout, const std::vector<std::string>& options,
                const std::string& source, bool from_registry) const;

  std::filesystem::path home_;
  Guard guard_;
};

// What skopeo's complaint means. `names` are the references it was started with; they are taken out
// of the text first, so that a repository called "unauthorized" does not decide the answer.
Status ClassifySkopeoError(std::string_view text, const std::vector<std::string>& names,
                           bool from_registry);

}  // namespace claw::image
