#include "drivers/image/image_store.h"

#include <algorithm>

#include "agent/base/digest.h"
#include "agent/base/file.h"
#include "drivers/image/errors.h"
#include "drivers/image/image_disk.h"
#include "drivers/image/layout.h"
#include "drivers/image/receive.h"
#include "drivers/image/reference.h"
#include "drivers/image/sanitize.h"
#include "drivers/image/skopeo.h"
#include "drivers/image/source.h"
#include "drivers/image/tree_digest.h"
#include "drivers/image/unpack.h"
#include "drivers/image/users.h"

namespace claw::image {
namespace {

namespace fs = std::filesystem;

void Report(const Progress& progress, std::string_view phase, std::string_view message) {
  if (progress) progress(phase, message);
}

bool SameLayers(const Manifest& a, const Manifest& b) {
  return std::equal(a.layers.begin(), a.layers.end(), b.layers.begin(), b.layers.end(),
                    [](const Descriptor& x, const Descriptor& y) { return x.digest == y.digest; });
}

// What a tag pointed at when it was asked for; everything behind this goes by the digest.
struct Resolved {
  std::string digest;
  Manifest manifest;
  bool of_index = false;  // whose word on its platform is taken until the config has come
};

StatusOr<nlohmann::json> FetchManifest(const Skopeo& skopeo, const std::string& reference,
                                       bool insecure, const std::string& expected,
                                       std::string& digest) {
  ASSIGN_OR_RETURN(const std::string raw, skopeo.RawManifest(reference, insecure));
  digest = DigestOf(raw);
  if (!expected.empty() && digest != expected) {
    return CorruptImage(StrCat("asked for ", expected, ", the registry gave ", digest));
  }
  return ParseJson(raw, "the manifest");
}

StatusOr<Resolved> Resolve(const Skopeo& skopeo, const Reference& reference, bool insecure,
                           const std::string& architecture) {
  Resolved resolved;
  ASSIGN_OR_RETURN(nlohmann::json json, FetchManifest(skopeo, reference.ForFetch(), insecure,
                                                      reference.digest, resolved.digest));
  if (IsIndex(json)) {
    ASSIGN_OR_RETURN(const auto index, ParseIndex(json));
    ASSIGN_OR_RETURN(const Descriptor chosen, ChoosePlatform(index, architecture));
    ASSIGN_OR_RETURN(json, FetchManifest(skopeo, reference.WithDigest(chosen.digest), insecure,
                                         chosen.digest, resolved.digest));
    resolved.of_index = true;
  }
  ASSIGN_OR_RETURN(resolved.manifest, ParseManifest(json));
  return resolved;
}

// What stands alone says in its config for which platform it is: asked for before its layers are
// fetched.
Status CheckConfig(const Skopeo& skopeo, const Reference& reference, bool insecure,
                   const Resolved& resolved, const std::string& architecture) {
  if (resolved.of_index) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string raw,
                   skopeo.RawConfig(reference.WithDigest(resolved.digest), insecure));
  ASSIGN_OR_RETURN(const ImageConfig config, ParseConfig(raw));
  return CheckPlatform(config, architecture);
}

// Where the source really is. Symbolic links are resolved once, here.
StatusOr<ImportSource> Locate(ImportSource source) {
  std::error_code error;
  const fs::path real = fs::canonical(source.path, error);
  if (error) {
    return ImageNotFound(StrCat(Printable(source.path.string()), ": ", error.message()));
  }
  const bool wants_folder = source.kind != ImportSource::Kind::kOciArchive &&
                            source.kind != ImportSource::Kind::kDockerArchive;
  if (wants_folder ? !fs::is_directory(real, error) : !fs::is_regular_file(real, error)) {
    return ImageNotFound(
        StrCat(Printable(source.path.string()), " is not a ", wants_folder ? "folder" : "file"));
  }
  if (source.kind != ImportSource::Kind::kRootfs && Contains(real.string(), ":")) {
    return BadReference(StrCat("there is a ':' in ", Printable(real.string())));
  }
  source.path = real;
  return source;
}

bool IsWithin(const fs::path& inner, const fs::path& outer) {
  return std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end()).first == outer.end();
}

class DiskImageStore final : public ImageStore {
 public:
  DiskImageStore(Options options, std::unique_ptr<ImageDisk> disk)
      : options_(std::move(options)),
        disk_(std::move(disk)),
        architecture_(MachineArchitecture()) {}

  StatusOr<Image> Pull(const std::string& reference, const std::string& architecture, bool insecure,
                       const std::string& signer, const Progress& progress) override {
    ASSIGN_OR_RETURN(const Reference parsed, ParseReference(reference));
    if (insecure && !parsed.IsLoopback()) {
      return MakeError(
          StatusCode::kInvalidArgument,
          StrCat("plain HTTP is allowed for loopback registries only, not for ", parsed.domain),
          {.reason = "INSECURE_REGISTRY", .constraint = "insecure"});
    }
    if (!signer.empty()) RETURN_IF_ERROR(FindSigner(options_.signers, signer).status());
    ASSIGN_OR_RETURN(const Scratch scratch, disk_->MakeScratch());
    auto image =
        PullInto(scratch.path(), parsed, OrMachine(architecture), insecure, signer, progress);
    if (!image.ok()) return Explain(image.status(), StrCat("pull ", parsed.Normalized()));
    Report(progress, "done", image->digest);
    return image;
  }

  StatusOr<Image> Import(const std::string& source, const std::string& architecture,
                         const std::string& reference, const std::string& signer,
                         const Progress& progress) override {
    std::string name;
    if (!reference.empty()) {
      ASSIGN_OR_RETURN(name, NormalizeReference(reference));
    }
    ASSIGN_OR_RETURN(const ImportSource parsed, ParseSource(source));
    if (!signer.empty()) RETURN_IF_ERROR(CheckCanBeSigned(parsed, name, signer));
    ASSIGN_OR_RETURN(const Scratch scratch, disk_->MakeScratch());
    const std::string wanted = OrMachine(architecture);
    auto image = parsed.kind == ImportSource::Kind::kRootfs
                     ? ImportFolder(scratch.path(), parsed, wanted, name, progress)
                     : ImportLayout(scratch.path(), parsed, wanted, name, signer, progress);
    if (!image.ok()) return Explain(image.status(), StrCat("import ", Printable(source)));
    Report(progress, "done", image->digest);
    return image;
  }

  StatusOr<std::unique_ptr<Incoming>> Receive(const Image& image) override {
    if (!IsDigest(image.digest)) {
      return InvalidArgument("'", Printable(image.digest), "' is no image digest");
    }
    ASSIGN_OR_RETURN(const ScanLimits limits, Limits());
    const auto explain = [this, doing = StrCat("receive ", image.digest)](const Status& status) {
      return Explain(status, doing);
    };
    return ReceiveImage(*disk_, image,
                        {.scan = limits,
                         .tree = MakeTreeLimits(),
                         .min_free_disk_bytes = options_.min_free_disk_bytes},
                        explain);
  }

  fs::path RootfsPath(const std::string& digest) const override {
    return IsDigest(digest) ? disk_->RootfsPath(digest) : fs::path();
  }

  StatusOr<Scan> ScanDisk() override { return disk_->ScanAll(); }

  Status Remove(const std::string& digest) override {
    if (!IsDigest(digest)) return InvalidArgument("'", Printable(digest), "' is no image digest");
    const ImageDisk::Lock lock = disk_->LockDigest(digest);
    return disk_->Remove(digest);
  }

 private:
  [[nodiscard]] std::string OrMachine(const std::string& architecture) const {
    return architecture.empty() ? architecture_ : architecture;
  }

  StatusOr<Image> PullInto(const fs::path& scratch, const Reference& reference,
                           const std::string& architecture, bool insecure,
                           const std::string& signer, const Progress& progress) {
    Report(progress, "resolving", reference.Normalized());
    ASSIGN_OR_RETURN(Skopeo skopeo, Skopeo::Make(scratch, architecture, MakeGuard()));
    ASSIGN_OR_RETURN(const Resolved resolved, Resolve(skopeo, reference, insecure, architecture));
    const ImageDisk::Lock lock = disk_->LockDigest(resolved.digest);
    ASSIGN_OR_RETURN(auto found, FindFor(architecture, resolved.digest));
    // A signature is made under a name, and is looked at each time that one is asked for.
    if (found && signer.empty()) return AddName(*std::move(found), reference.Normalized());

    if (!found) {
      RETURN_IF_ERROR(CheckConfig(skopeo, reference, insecure, resolved, architecture));
    }
    RETURN_IF_ERROR(CheckDeclaredSize(resolved.manifest));
    Report(progress, "fetching", resolved.digest);
    const fs::path layout = scratch / "layout";
    RETURN_IF_ERROR(RequireSigner(skopeo, signer, reference));
    RETURN_IF_ERROR(skopeo.Fetch(reference.WithDigest(resolved.digest), insecure, layout));
    if (found) return AddSigner(*std::move(found), reference.Normalized(), signer);
    ASSIGN_OR_RETURN(const LayoutImage fetched, ReadLayout(layout));
    // skopeo writes Docker's manifests anew in OCI's form, so digests may differ; layers may not.
    if (!SameLayers(fetched.manifest, resolved.manifest)) {
      return CorruptImage("other layers were fetched than the manifest names");
    }
    return Build(scratch, layout, fetched,
                 {.digest = resolved.digest,
                  .names = {reference.Normalized()},
                  .architecture = architecture,
                  .signers = SignersOf(signer)},
                 progress);
  }

  Status RequireSigner(Skopeo& skopeo, const std::string& signer,
                       const Reference& reference) const {
    if (signer.empty()) return absl::OkStatus();
    ASSIGN_OR_RETURN(const Signer known, FindSigner(options_.signers, signer));
    return skopeo.Require(known, reference.Repository());
  }

  Status CheckCanBeSigned(const ImportSource& source, const std::string& name,
                          const std::string& signer) const {
    if (source.kind != ImportSource::Kind::kDir) {
      return MakeError(StatusCode::kInvalidArgument,
                       "only a dir: source carries signatures (`skopeo copy --sign-by KEY "
                       "--sign-identity NAME SOURCE dir:/DIR` writes one)",
                       {.reason = "NOT_SIGNABLE", .constraint = "signer"});
    }
    if (name.empty()) {
      return MakeError(StatusCode::kInvalidArgument,
                       "a signature is made under a name: say which the image is to have",
                       {.reason = "NAME_MISSING", .constraint = "reference"});
    }
    return FindSigner(options_.signers, signer).status();
  }

  static std::vector<std::string> SignersOf(const std::string& signer) {
    if (signer.empty()) return {};
    return {signer};
  }

  StatusOr<Image> ImportLayout(const fs::path& scratch, const ImportSource& parsed,
                               const std::string& architecture, const std::string& name,
                               const std::string& signer, const Progress& progress) {
    Report(progress, "resolving", parsed.path.string());
    ASSIGN_OR_RETURN(const ImportSource source, Locate(parsed));
    if (source.kind == ImportSource::Kind::kOci) {
      RETURN_IF_ERROR(VerifyManifests(source.path));
    } else if (source.kind != ImportSource::Kind::kDir) {
      // skopeo unpacks the archive itself, so it may not be a bomb either.
      ASSIGN_OR_RETURN(const ScanLimits limits, Limits());
      ScanUsage usage;
      RETURN_IF_ERROR(Annotate(ScanLayer(source.path, limits, usage).status(), "the archive"));
    }
    Report(progress, "fetching", source.path.string());
    ASSIGN_OR_RETURN(Skopeo skopeo, Skopeo::Make(scratch, architecture, MakeGuard()));
    if (!signer.empty()) {
      ASSIGN_OR_RETURN(const Reference reference, ParseReference(name));
      RETURN_IF_ERROR(RequireSigner(skopeo, signer, reference));
    }
    const fs::path layout = scratch / "layout";
    RETURN_IF_ERROR(skopeo.Copy(source.ForFetch(), layout));
    ASSIGN_OR_RETURN(const LayoutImage copied, ReadLayout(layout));
    const ImageDisk::Lock lock = disk_->LockDigest(copied.digest);
    ASSIGN_OR_RETURN(auto found, FindFor(architecture, copied.digest));
    if (found) return AddSigner(*std::move(found), name, signer);
    Image image{
        .digest = copied.digest, .architecture = architecture, .signers = SignersOf(signer)};
    if (!name.empty()) image.names = {name};
    return Build(scratch, layout, copied, std::move(image), progress);
  }

  StatusOr<Image> ImportFolder(const fs::path& scratch, const ImportSource& parsed,
                               const std::string& architecture, const std::string& name,
                               const Progress& progress) {
    Report(progress, "resolving", parsed.path.string());
    ASSIGN_OR_RETURN(const ImportSource source, Locate(parsed));
    std::error_code error;
    const fs::path root = fs::canonical(disk_->root(), error);
    if (error || IsWithin(root, source.path) || IsWithin(source.path, root)) {
      return BadReference("a root folder cannot lie in the image store, nor around it");
    }
    RETURN_IF_ERROR(CheckFolderSize(source.path));
    Report(progress, "fetching", source.path.string());
    const fs::path staging = scratch / "image";
    RETURN_IF_ERROR(CopyFolder(source.path, staging / "rootfs", MakeGuard()));
    Report(progress, "checking", source.path.string());
    ASSIGN_OR_RETURN(const SanitizedTree tree, Sanitize(staging / "rootfs", MakeTreeLimits()));
    Image image{.architecture = architecture};
    ASSIGN_OR_RETURN(image.digest, TreeDigest(staging / "rootfs"));
    if (!name.empty()) image.names = {name};
    const ImageDisk::Lock lock = disk_->LockDigest(image.digest);
    ASSIGN_OR_RETURN(auto found, FindFor(architecture, image.digest));
    if (found) return AddName(*std::move(found), name);
    return Publish(staging, tree, std::move(image));
  }

  // One that is there for another architecture is not what was asked for. Needs the Lock.
  StatusOr<std::optional<Image>> FindFor(const std::string& architecture,
                                         const std::string& digest) {
    ASSIGN_OR_RETURN(std::optional<Image> found, disk_->Find(digest));
    if (found && found->architecture != architecture) {
      return UnsupportedArchitecture(StrCat(found->os, "/", found->architecture), architecture);
    }
    return found;
  }

  // From a layout on disk to an image in the store, of the architecture that `image` has.
  StatusOr<Image> Build(const fs::path& scratch, const fs::path& layout, const LayoutImage& source,
                        Image image, const Progress& progress) {
    RETURN_IF_ERROR(CheckPlatform(source.config, image.architecture));
    Report(progress, "checking", image.digest);
    ASSIGN_OR_RETURN(const ScanLimits limits, Limits());
    ScanUsage usage;
    RETURN_IF_ERROR(CheckLayers(layout, source, limits, usage));

    Report(progress, "unpacking", image.digest);
    const fs::path staging = scratch / "image";
    const fs::path rootfs = staging / "rootfs";
    RETURN_IF_ERROR(EnsureDirectory(staging, 0700));
    RETURN_IF_ERROR(UnpackLayout(layout, rootfs, scratch, MakeGuard()));
    ASSIGN_OR_RETURN(const SanitizedTree tree, Sanitize(rootfs, MakeTreeLimits()));
    ASSIGN_OR_RETURN(ImageUser user, ResolveUser(rootfs, source.config.user));

    image.os = source.config.os;
    image.entrypoint = source.config.entrypoint;
    image.command = source.config.command;
    image.env = source.config.env;
    image.labels = source.config.labels;
    image.working_directory = source.config.working_directory;
    image.uid = user.uid;
    image.gid = user.gid;
    image.additional_gids = std::move(user.additional_gids);
    return Publish(staging, tree, std::move(image));
  }

  StatusOr<Image> Publish(const fs::path& staging, const SanitizedTree& tree, Image image) {
    image.size_bytes = tree.size_bytes;
    image.dropped_device_nodes = tree.dropped_device_nodes;
    image.cleared_setuid_bits = tree.cleared_setuid_bits;
    image.created_at = SystemClock().Now();
    RETURN_IF_ERROR(disk_->Publish(staging, image));
    return image;
  }

  StatusOr<Image> AddName(Image image, const std::string& name) {
    RETURN_IF_ERROR(disk_->AddName(image, name));
    return image;
  }

  StatusOr<Image> AddSigner(Image image, const std::string& name, const std::string& signer) {
    if (!signer.empty()) RETURN_IF_ERROR(disk_->AddSigner(image, signer));
    return AddName(std::move(image), name);
  }

  // Before a byte of it is fetched: the blobs alone, compressed as they are.
  Status CheckDeclaredSize(const Manifest& manifest) const {
    int64_t bytes = 0;
    for (const Descriptor& layer : manifest.layers) bytes = SaturatingAdd(bytes, layer.size_bytes);
    ASSIGN_OR_RETURN(const ScanLimits limits, Limits());
    if (bytes > limits.max_bytes) {
      return ImageTooLarge("max_image_bytes", bytes, limits.max_bytes, "bytes");
    }
    if (bytes > limits.disk_bytes) {
      return DiskFull(StrCat("fetching takes ", FormatBytes(bytes)), bytes, limits.disk_bytes);
    }
    return absl::OkStatus();
  }

  Status CheckFolderSize(const fs::path& source) const {
    ASSIGN_OR_RETURN(const ScanLimits limits, Limits());
    ScanUsage usage;
    return MeasureTree(source, limits, usage);
  }

  [[nodiscard]] Guard MakeGuard() const {
    return {.disk = disk_->root(),
            .min_free_bytes = options_.min_free_disk_bytes,
            .max_file_bytes = SaturatingAdd(options_.max_image_bytes, kMiB)};
  }

  [[nodiscard]] TreeLimits MakeTreeLimits() const {
    return {.max_bytes = options_.max_image_bytes, .max_files = options_.max_image_files};
  }

  StatusOr<ScanLimits> Limits() const {
    ASSIGN_OR_RETURN(const int64_t free_bytes, FreeDiskBytes(disk_->root()));
    return ScanLimits{
        .max_bytes = options_.max_image_bytes,
        .max_files = options_.max_image_files,
        .disk_bytes = std::max<int64_t>(0, free_bytes - options_.min_free_disk_bytes)};
  }

  // A program that ran into a limit cannot say how much there is; this adds it.
  Status Explain(const Status& status, std::string_view doing) const {
    const auto detail = GetErrorDetail(status);
    const bool vague = detail && (detail->needed.empty() || detail->needed == "0 bytes");
    if (vague && detail->reason == "DISK_FULL") {
      const int64_t free_bytes = FreeDiskBytes(disk_->root()).value_or(0);
      return DiskFull(StrCat(doing, ": ", status.message()),
                      std::max(options_.min_free_disk_bytes, free_bytes + 1), free_bytes);
    }
    if (vague && detail->reason == "IMAGE_TOO_LARGE") {
      return Annotate(ImageTooLarge("max_image_bytes", SaturatingAdd(options_.max_image_bytes, 1),
                                    options_.max_image_bytes, "bytes"),
                      doing);
    }
    return Annotate(status, doing);
  }

  const Options options_;
  const std::unique_ptr<ImageDisk> disk_;
  const std::string architecture_;
};

}  // namespace

StatusOr<std::unique_ptr<ImageStore>> ImageStore::Open(Options options) {
  ASSIGN_OR_RETURN(auto disk, ImageDisk::Open(options.root));
  return std::make_unique<DiskImageStore>(std::move(options), std::move(disk));
}

}  // namespace claw::image
