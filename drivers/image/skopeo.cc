#include "drivers/image/skopeo.h"

#include <absl/strings/ascii.h>

#include <algorithm>
#include <initializer_list>

#include "agent/base/file.h"
#include "drivers/image/errors.h"
#include "drivers/image/layout.h"
#include "drivers/image/manifest.h"

namespace claw::image {
namespace {

namespace fs = std::filesystem;

// Who may run what is decided by the caller's policy on digests and on the signatures that somebody
// asked to be verified.
constexpr char kAcceptAnything[] = R"({"default":[{"type":"insecureAcceptAnything"}]})";
constexpr std::string_view kDockerTransport = "docker://";
constexpr std::chrono::milliseconds kResolveTimeout = std::chrono::seconds(60);

bool ContainsAny(std::string_view text, std::initializer_list<std::string_view> needles) {
  return std::any_of(needles.begin(), needles.end(),
                     [text](std::string_view needle) { return Contains(text, needle); });
}

// A registry that does not answer in time is out of reach, not a fault of ours.
Status ExplainRunError(const Status& status, bool from_registry) {
  if (status.code() == StatusCode::kDeadlineExceeded && from_registry) {
    return RegistryUnreachable(StrCat("the registry is too slow: ", status.message()));
  }
  return ExplainMissingProgram(status, "skopeo", "skopeo");
}

// The ways in which skopeo names what it was asked for.
std::vector<std::string> NamesOf(const std::string& reference) {
  const std::string name = reference.substr(0, reference.find('@'));
  const size_t colon = name.rfind(':');
  if (colon == std::string::npos || name.find('/', colon) != std::string::npos) {
    return {reference, name};
  }
  return {reference, name.substr(0, colon), StrCat("manifest ", name.substr(colon + 1), " in")};
}

}  // namespace

Status ClassifySkopeoError(std::string_view text, const std::vector<std::string>& names,
                           std::string_view architecture, bool from_registry) {
  const std::string shown = Printable(Trim(text), 600);
  std::string plain = absl::AsciiStrToLower(ToAbsl(text));
  for (const std::string& name : names) {
    const std::string lower = absl::AsciiStrToLower(ToAbsl(name));
    for (size_t at = 0; !lower.empty() && (at = plain.find(lower)) != std::string::npos;) {
      plain.erase(at, lower.size());
    }
  }
  if (ContainsAny(plain, {"source image rejected"})) return SignatureRejected(shown);
  if (ContainsAny(plain, {"no space left on device", "disk quota exceeded"})) {
    return DiskFull(StrCat("the disk is full: ", shown), 0, 0);
  }
  if (ContainsAny(plain, {"file too large", "sigxfsz"})) {
    return MakeError(StatusCode::kResourceExhausted, shown,
                     {.reason = "IMAGE_TOO_LARGE", .constraint = "max_image_bytes"});
  }
  if (ContainsAny(plain,
                  {"no image found in manifest list for", "no image found in image index"})) {
    return UnsupportedArchitecture("other architectures only", architecture);
  }
  if (ContainsAny(plain, {"digest did not match", "does not match"})) return CorruptImage(shown);
  if (ContainsAny(plain, {"more than one image", "expected exactly one", "choose an image"})) {
    return BadReference(shown);
  }
  if (!from_registry) {
    // The file or folder itself is there (the store has looked), so a file that is not there is one
    // that the image should have had.
    if (ContainsAny(plain, {"no descriptor found", "\" not found", "not found in archive"})) {
      return ImageNotFound(shown);
    }
    return CorruptImage(shown);
  }
  if (ContainsAny(plain, {"unauthorized", "authentication required", "denied", "forbidden",
                          "status 401", "status 403"})) {
    return RegistryDenied(shown);
  }
  if (ContainsAny(plain, {"manifest unknown", "name unknown", "not known to registry", "not found",
                          "status 404"})) {
    return ImageNotFound(shown);
  }
  if (ContainsAny(plain, {"pinging container registry", "dial tcp", "connection re", "no such host",
                          "timeout", "tls", "x509", "http response to https", "network is",
                          "no route to host", "status: 5", "toomanyrequests", "status: 429",
                          "unexpected eof", ": eof"})) {
    return RegistryUnreachable(shown);
  }
  return Internal(shown);
}

StatusOr<Skopeo> Skopeo::Make(const fs::path& scratch, std::string architecture,
                              const Guard& guard) {
  const fs::path home = scratch / "skopeo";
  for (const char* folder : {"", "tmp", "run", "registries.d"}) {
    RETURN_IF_ERROR(EnsureDirectory(home / folder, 0700));
  }
  RETURN_IF_ERROR(WriteFileAtomic(home / "policy.json", kAcceptAnything));
  RETURN_IF_ERROR(WriteFileAtomic(home / "registries.conf", ""));
  return Skopeo(home, std::move(architecture), guard);
}

Status Skopeo::Require(const Signer& signer, std::string_view repository) {
  RETURN_IF_ERROR(WriteFileAtomic(home_ / "policy.json", SignaturePolicy(signer, repository)));
  return WriteFileAtomic(home_ / "registries.d/signatures.yaml", SignatureLocations(signer));
}

StatusOr<RunResult> Skopeo::RunSkopeo(const std::vector<std::string>& args,
                                      const Guard& guard) const {
  const std::string home = home_.string();
  ProcessSpec spec;
  spec.argv = {"skopeo",
               "--policy",
               StrCat(home, "/policy.json"),
               "--registries.d",
               StrCat(home, "/registries.d"),
               "--registries-conf",
               StrCat(home, "/registries.conf"),
               "--tmpdir",
               StrCat(home, "/tmp"),
               "--override-os",
               "linux",
               "--override-arch",
               architecture_};
  spec.argv.insert(spec.argv.end(), args.begin(), args.end());
  // The last one makes skopeo keep its cache of blob locations in HOME instead of /var/lib.
  spec.env = {"PATH=/usr/local/bin:/usr/bin:/bin", StrCat("HOME=", home),
              StrCat("TMPDIR=", home, "/tmp"), StrCat("XDG_RUNTIME_DIR=", home, "/run"),
              "_CONTAINERS_ROOTLESS_UID=1"};
  spec.working_directory = home_;
  return RunGuarded(std::move(spec), guard);
}

StatusOr<std::string> Skopeo::RawManifest(const std::string& reference, bool insecure) const {
  return Inspect(reference, insecure, {"--raw"});
}

StatusOr<std::string> Skopeo::RawConfig(const std::string& reference, bool insecure) const {
  return Inspect(reference, insecure, {"--config", "--raw"});
}

StatusOr<std::string> Skopeo::Inspect(const std::string& reference, bool insecure,
                                      const std::vector<std::string>& options) const {
  Guard guard = guard_;
  guard.timeout = kResolveTimeout;
  guard.max_output_bytes = kMaxManifestBytes + 1;
  std::vector<std::string> args = {"inspect", "--no-creds",
                                   StrCat("--tls-verify=", insecure ? "false" : "true")};
  args.insert(args.end(), options.begin(), options.end());
  args.push_back(StrCat(kDockerTransport, reference));
  auto run = RunSkopeo(args, guard);
  if (!run.ok()) return ExplainRunError(run.status(), true);
  if (run->exit_code != 0) {
    return ClassifySkopeoError(run->err, NamesOf(reference), architecture_, true);
  }
  return std::move(run->out);
}

Status Skopeo::CopyTo(const fs::path& layout, const std::vector<std::string>& options,
                      const std::string& source, bool from_registry) const {
  std::vector<std::string> args = {"copy",
                                   "--quiet",
                                   "--format",
                                   "oci",
                                   "--remove-signatures",
                                   "--dest-oci-accept-uncompressed-layers"};
  args.insert(args.end(), options.begin(), options.end());
  args.push_back(source);
  args.push_back(StrCat("oci:", layout.string(), ":", kLayoutTag));
  auto run = RunSkopeo(args, guard_);
  if (!run.ok()) return ExplainRunError(run.status(), from_registry);
  if (run->exit_code == 0) return absl::OkStatus();
  std::vector<std::string> names = {source, layout.string()};
  if (from_registry) {
    const std::vector<std::string> more = NamesOf(source.substr(kDockerTransport.size()));
    names.insert(names.end(), more.begin(), more.end());
  } else {
    names.push_back(source.substr(source.find(':') + 1));
  }
  return ClassifySkopeoError(run->err, names, architecture_, from_registry);
}

Status Skopeo::Fetch(const std::string& reference, bool insecure, const fs::path& layout) const {
  return CopyTo(layout,
                {"--src-no-creds", StrCat("--src-tls-verify=", insecure ? "false" : "true")},
                StrCat(kDockerTransport, reference), true);
}

Status Skopeo::Copy(const std::string& source, const fs::path& layout) const {
  return CopyTo(layout, {}, source, false);
}

}  // namespace claw::image
