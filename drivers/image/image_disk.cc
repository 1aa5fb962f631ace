#include "drivers/image/image_disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "agent/base/digest.h"
#include "agent/base/file.h"
#include "agent/base/id.h"
#include "agent/base/unique_fd.h"
#include "agent/model/json.h"
#include "drivers/image/errors.h"
#include "drivers/image/tree_access.h"
#include "drivers/image/unpack.h"

namespace claw::image {
namespace {

namespace fs = std::filesystem;

constexpr char kTmp[] = "tmp";
constexpr char kQuarantine[] = "quarantine";
constexpr char kRootfs[] = "rootfs";
constexpr char kRecord[] = "image.json";
constexpr size_t kRandomDigits = 16;

StatusOr<UniqueFd> OpenFolder(const fs::path& path) {
  UniqueFd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder.valid()) return ErrnoError(errno, StrCat("open ", path.string()));
  return folder;
}

Status SyncFolder(const fs::path& path) {
  ASSIGN_OR_RETURN(const UniqueFd folder, OpenFolder(path));
  if (::fsync(folder.get()) != 0) return ErrnoError(errno, StrCat("sync ", path.string()));
  return absl::OkStatus();
}

bool IsThere(const fs::path& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0;
}

// A folder of our own that nobody else may look into.
Status MakePrivate(const fs::path& path) {
  RETURN_IF_ERROR(EnsureDirectory(path, 0700));
  ASSIGN_OR_RETURN(const UniqueFd folder, OpenFolder(path));
  if (::fchmod(folder.get(), 0700) != 0) return ErrnoError(errno, StrCat("chmod ", path.string()));
  return absl::OkStatus();
}

}  // namespace

Scratch::~Scratch() {
  // What cannot be removed now is removed by the next Open.
  if (!path_.empty()) [[maybe_unused]]
    const Status ignored = RemoveWhole(path_);
}

StatusOr<std::unique_ptr<ImageDisk>> ImageDisk::Open(const fs::path& root) {
  // umoci and skopeo take "path:tag".
  if (!root.is_absolute() || Contains(root.string(), ":")) {
    return InvalidArgument("the image folder '", Printable(root.string()),
                           "' is not absolute, or has a ':' in it");
  }
  fs::path clean = root.lexically_normal();
  if (!clean.has_filename()) clean = clean.parent_path();
  RETURN_IF_ERROR(Annotate(MakePrivate(clean), "image store"));
  RETURN_IF_ERROR(MakePrivate(clean / kTmp));
  RETURN_IF_ERROR(MakePrivate(clean / kQuarantine));
  ASSIGN_OR_RETURN(const auto leftovers, ListDirectory(clean / kTmp));
  for (const std::string& name : leftovers) RETURN_IF_ERROR(RemoveWhole(clean / kTmp / name));
  return std::unique_ptr<ImageDisk>(new ImageDisk(clean));
}

ImageDisk::Lock ImageDisk::LockDigest(const std::string& digest) {
  std::shared_ptr<std::mutex> mutex;
  {
    const std::lock_guard guard(locks_mutex_);
    std::erase_if(locks_, [](const auto& entry) { return entry.second.expired(); });
    mutex = locks_[digest].lock();
    if (!mutex) {
      mutex = std::make_shared<std::mutex>();
      locks_[digest] = mutex;
    }
  }
  return Lock(std::move(mutex));
}

StatusOr<Scratch> ImageDisk::MakeScratch() {
  Scratch scratch(root_ / kTmp / RandomHex(kRandomDigits));
  RETURN_IF_ERROR(EnsureDirectory(scratch.path(), 0700));
  return scratch;
}

fs::path ImageDisk::Folder(const std::string& digest) const {
  return root_ / std::string(DigestHex(digest));
}

fs::path ImageDisk::RootfsPath(const std::string& digest) const { return Folder(digest) / kRootfs; }

StatusOr<Image> ImageDisk::Load(const std::string& digest) const {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(Folder(digest) / kRecord));
  ASSIGN_OR_RETURN(Image image, ImageFromJson(text));
  if (image.digest != digest) return DataLoss("the record is that of another image");
  RETURN_IF_ERROR(OpenFolder(RootfsPath(digest)).status());
  return image;
}

StatusOr<std::optional<Image>> ImageDisk::Find(const std::string& digest) {
  if (!IsThere(Folder(digest))) return std::optional<Image>();
  auto image = Load(digest);
  if (image.ok()) return std::optional<Image>(*std::move(image));
  RETURN_IF_ERROR(Quarantine(digest).status());
  return std::optional<Image>();
}

Status ImageDisk::Publish(const fs::path& staging, const Image& image) {
  RETURN_IF_ERROR(WriteFileAtomic(staging / kRecord, ToJson(image), 0600, /*durable=*/true));
  {
    // Everything that was unpacked must be on disk before the name is, or a power cut leaves a
    // whole-looking image of empty files. One syncfs is far cheaper than an fsync for each file.
    ASSIGN_OR_RETURN(const UniqueFd folder, OpenFolder(staging));
    RETURN_IF_ERROR(SyncFileSystem(folder.get()));
  }
  const std::lock_guard guard(names_mutex_);
  for (const std::string& name : image.names) RETURN_IF_ERROR(TakeName(name, image));
  if (::rename(staging.c_str(), Folder(image.digest).c_str()) != 0) {
    return ErrnoError(errno, StrCat("rename to ", Folder(image.digest).string()));
  }
  return SyncFolder(root_);
}

Status ImageDisk::TakeName(const std::string& name, const Image& taker) {
  ASSIGN_OR_RETURN(const auto entries, ListDirectory(root_));
  for (const std::string& entry : entries) {
    const std::string digest = StrCat("sha256:", entry);
    if (!IsDigestHex(entry) || digest == taker.digest) continue;
    auto other = Load(digest);
    if (!other.ok() || other->architecture != taker.architecture) continue;
    if (std::erase(other->names, name) == 0) continue;
    RETURN_IF_ERROR(WriteFileAtomic(Folder(digest) / kRecord, ToJson(*other), 0600, true));
  }
  return absl::OkStatus();
}

Status ImageDisk::AddName(Image& image, const std::string& name) {
  const std::lock_guard guard(names_mutex_);
  // Read again: the name of another pull may have been taken off it meanwhile.
  ASSIGN_OR_RETURN(image, Load(image.digest));
  if (name.empty() ||
      std::find(image.names.begin(), image.names.end(), name) != image.names.end()) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(TakeName(name, image));
  image.names.push_back(name);
  return WriteFileAtomic(Folder(image.digest) / kRecord, ToJson(image), 0600, true);
}

Status ImageDisk::AddSigner(Image& image, const std::string& signer) {
  const std::lock_guard guard(names_mutex_);
  ASSIGN_OR_RETURN(image, Load(image.digest));
  if (std::find(image.signers.begin(), image.signers.end(), signer) != image.signers.end()) {
    return absl::OkStatus();
  }
  image.signers.push_back(signer);
  return WriteFileAtomic(Folder(image.digest) / kRecord, ToJson(image), 0600, true);
}

StatusOr<bool> ImageDisk::Quarantine(const std::string& digest) {
  const std::lock_guard guard(names_mutex_);
  const fs::path aside =
      root_ / kQuarantine / StrCat(DigestHex(digest), "-", RandomHex(kRandomDigits));
  if (::rename(Folder(digest).c_str(), aside.c_str()) == 0) return true;
  if (errno == ENOENT) return false;
  return ErrnoError(errno, StrCat("put ", digest, " into quarantine"));
}

StatusOr<ImageStore::Scan> ImageDisk::ScanAll() {
  ASSIGN_OR_RETURN(const auto entries, ListDirectory(root_));
  ImageStore::Scan scan;
  for (const std::string& entry : entries) {
    if (!IsDigestHex(entry)) continue;
    const std::string digest = StrCat("sha256:", entry);
    auto image = Load(digest);
    if (image.ok()) {
      scan.images.push_back(*std::move(image));
      continue;
    }
    ASSIGN_OR_RETURN(const bool moved, Quarantine(digest));
    if (moved) scan.quarantined.push_back(digest);
  }
  return scan;
}

Status ImageDisk::Remove(const std::string& digest) {
  const fs::path gone = root_ / kTmp / StrCat("removed-", RandomHex(kRandomDigits));
  {
    const std::lock_guard guard(names_mutex_);
    if (::rename(Folder(digest).c_str(), gone.c_str()) != 0) {
      if (errno == ENOENT) return absl::OkStatus();
      return ErrnoError(errno, StrCat("remove ", digest));
    }
    RETURN_IF_ERROR(SyncFolder(root_));
  }
  return RemoveWhole(gone);
}

}  // namespace claw::image
