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
// say. Registries are asked anonymously. Of what is there for several platforms it takes that of
// linux on one architecture. Blocks.
class Skopeo {
 public:
  // Makes the folder `scratch`/skopeo. `guard` bounds every run.
  static StatusOr<Skopeo> Make(const std::filesystem::path& scratch, std::string architecture,
                               const Guard& guard);

  // From now on nothing is fetched or copied that does not carry this signature, under the name of
  // this repository: SIGNATURE_REJECTED.
  Status Require(const Signer& signer, std::string_view repository);

  // The manifest or index that a registry has under the reference, byte for byte.
  // Errors: those of the registry as ImageStore::Pull has them.
  StatusOr<std::string> RawManifest(const std::string& reference, bool insecure) const;

  // The config that the manifest under the reference names, byte for byte.
  StatusOr<std::string> RawConfig(const std::string& reference, bool insecure) const;

  // Copies one image from a registry into a new OCI layout, tagged kLayoutTag.
  Status Fetch(const std::string& reference, bool insecure,
               const std::filesystem::path& layout) const;

  // The same from this host's disk: "oci:/dir:tag", "oci-archive:/file", "docker-archive:/file",
  // "dir:/dir".
  Status Copy(const std::string& source, const std::filesystem::path& layout) const;

 private:
  Skopeo(std::filesystem::path home, std::string architecture, Guard guard)
      : home_(std::move(home)), architecture_(std::move(architecture)), guard_(std::move(guard)) {}
  StatusOr<RunResult> RunSkopeo(const std::vector<std::string>& args, const Guard& guard) const;
  StatusOr<std::string> Inspect(const std::string& reference, bool insecure,
                                const std::vector<std::string>& options) const;
  Status CopyTo(const std::filesystem::path& layout, const std::vector<std::string>& options,
                const std::string& source, bool from_registry) const;

  std::filesystem::path home_;
  std::string architecture_;
  Guard guard_;
};

// What skopeo's complaint means. `names` are the references it was started with; they are taken out
// of the text first, so that a repository called "unauthorized" does not decide the answer.
Status ClassifySkopeoError(std::string_view text, const std::vector<std::string>& names,
                           std::string_view architecture, bool from_registry);

}  // namespace claw::image
