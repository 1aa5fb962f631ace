#include <algorithm>

#include "agent/base/strings.h"
#include "agent/lifecycle/compat.h"
#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/node.h"
#include "agent/lifecycle/request_guard.h"

namespace claw::lifecycle {
namespace {

Status NoSuchImage(const std::string& name) {
  return MakeError(StatusCode::kNotFound, StrCat("there is no image '", name, "' on this node"),
                   {.reason = "IMAGE_NOT_FOUND", .constraint = "image"});
}

bool HasName(const Image& image, const std::string& name) {
  return std::find(image.names.begin(), image.names.end(), name) != image.names.end();
}

}  // namespace

StatusOr<Image> Node::FindImage(const std::string& reference_or_digest) const {
  if (const auto it = images_.find(reference_or_digest); it != images_.end()) return it->second;
  const StatusOr<std::string> normal = image::NormalizeReference(reference_or_digest);
  for (const auto& [digest, image] : images_) {
    if (HasName(image, reference_or_digest) || (normal.ok() && HasName(image, *normal))) {
      return image;
    }
  }
  return NoSuchImage(reference_or_digest);
}

std::vector<Image> Node::ListImages() const {
  std::vector<Image> all;
  for (const auto& [digest, image] : images_) all.push_back(image);
  return all;
}

int Node::CountImageUsers(const std::string& digest) const {
  int count = 0;
  for (const auto& [id, entry] : sandboxes_) count += entry->record.image_digest == digest ? 1 : 0;
  for (const auto& test : compat_tests_) count += test->image.digest == digest ? 1 : 0;
  return count;
}

Task<StatusOr<Image>> Node::AddImage(Call call, std::string method, std::string fingerprint,
                                     std::function<StatusOr<Image>()> fetch) {
  CO_ASSIGN_OR_RETURN(const auto earlier, co_await BeginRequest(call, method, fingerprint));
  if (earlier) co_return FindImage(ResourceId(earlier->subject));
  const RequestGuard guard([this, id = call.request_id] { FinishRequest(id); });
  CO_ASSIGN_OR_RETURN(Image image, co_await deps_.pool.Run(fetch));
  // From here on nobody removes images; one that was removed since the fetch found it is fetched
  // again.
  const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(image_mutex_);
  std::error_code error;
  if (!std::filesystem::exists(deps_.images.RootfsPath(image.digest), error)) {
    CO_ASSIGN_OR_RETURN(image, co_await deps_.pool.Run(fetch));
  }
  // A name points at one image: it is taken from the one that had it.
  std::vector<Image> changed;
  for (auto& [digest, other] : images_) {
    Image without = other;
    std::erase_if(without.names,
                  [&image](const std::string& name) { return HasName(image, name); });
    if (digest != image.digest && without.names.size() != other.names.size()) {
      changed.push_back(std::move(without));
    }
  }
  if (const auto it = images_.find(image.digest); it != images_.end()) {
    Image merged = it->second;
    for (const std::string& name : image.names) {
      if (!HasName(merged, name)) merged.names.push_back(name);
    }
    merged.signers = image.signers;  // those on disk are never fewer
    image = std::move(merged);
  }
  changed.push_back(image);
  const auto request =
      MakeRequest(call.request_id, method, fingerprint, StrCat("images/", image.digest));
  std::vector<Event> events;
  events.push_back(MakeEvent(method == "PullImage" ? "image.pulled" : "image.imported",
                             StrCat("images/", image.digest), "",
                             StrCat(image.names.empty() ? image.digest : image.names.front(), ", ",
                                    FormatBytes(image.size_bytes)),
                             call.actor));
  const auto write = [changed, request](store::Transaction& txn) -> Status {
    for (const Image& entry : changed) RETURN_IF_ERROR(txn.PutImage(entry));
    return RecordRequest(txn, request);
  };
  CO_RETURN_IF_ERROR(co_await Commit(write, std::move(events)));
  for (const Image& entry : changed) images_[entry.digest] = entry;
  RememberRequest(request);
  co_return image;
}

Task<StatusOr<Image>> Node::PullImage(Call call, std::string reference, bool insecure,
                                      std::string signer, image::Progress progress) {
  co_await Uncancellable();
  image::ImageStore& images = deps_.images;
  auto fetch = [&images, reference, insecure, signer, progress] {
    return images.Pull(reference, insecure, signer, progress);
  };
  std::string fingerprint = ContentFingerprint(StrCat(reference, " ", signer));
  co_return co_await AddImage(call, "PullImage", std::move(fingerprint), std::move(fetch));
}

Task<StatusOr<Image>> Node::ImportImage(Call call, std::string source, std::string reference,
                                        std::string signer, image::Progress progress) {
  co_await Uncancellable();
  image::ImageStore& images = deps_.images;
  auto fetch = [&images, source, reference, signer, progress] {
    return images.Import(source, reference, signer, progress);
  };
  std::string fingerprint = ContentFingerprint(StrCat(source, " ", reference, " ", signer));
  co_return co_await AddImage(call, "ImportImage", std::move(fingerprint), std::move(fetch));
}

Task<Status> Node::DropImage(Image image, std::string actor) {
  const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(image_mutex_);
  if (const int users = CountImageUsers(image.digest); users > 0) {
    co_return MakeError(StatusCode::kFailedPrecondition,
                        StrCat("image ", image.digest, " is used by ", users,
                               " sandboxes or tests; remove them first"),
                        {.reason = "IMAGE_IN_USE",
                         .constraint = "use_count",
                         .needed = "0",
                         .available = StrCat(users)});
  }
  images_.erase(image.digest);
  std::vector<Event> events;
  events.push_back(MakeEvent("image.removed", StrCat("images/", image.digest), "",
                             StrCat(FormatBytes(image.size_bytes), " freed"), std::move(actor)));
  auto write = [digest = image.digest](store::Transaction& txn) { return txn.DeleteImage(digest); };
  const Status saved = co_await Commit(std::move(write), std::move(events));
  if (!saved.ok()) {
    images_[image.digest] = image;
    co_return saved;
  }
  image::ImageStore& images = deps_.images;
  auto work = [&images, digest = image.digest] { return images.Remove(digest); };
  co_return co_await deps_.pool.Run(std::move(work));
}

Task<Status> Node::DeleteImage(Call call, std::string reference_or_digest, bool allow_missing) {
  co_await Uncancellable();
  const std::string fingerprint = ContentFingerprint(reference_or_digest);
  CO_ASSIGN_OR_RETURN(const auto earlier, co_await BeginRequest(call, "DeleteImage", fingerprint));
  if (earlier) co_return absl::OkStatus();
  const RequestGuard guard([this, id = call.request_id] { FinishRequest(id); });
  const StatusOr<Image> found = FindImage(reference_or_digest);
  if (!found.ok()) co_return allow_missing ? absl::OkStatus() : found.status();
  Image image = *found;
  const std::string normal =
      image::NormalizeReference(reference_or_digest).value_or(reference_or_digest);
  const size_t removed = std::erase_if(image.names, [&](const std::string& name) {
    return name == reference_or_digest || name == normal;
  });
  const auto request =
      MakeRequest(call.request_id, "DeleteImage", fingerprint, StrCat("images/", image.digest));
  if (removed > 0 && !image.names.empty()) {
    std::vector<Event> events;
    events.push_back(
        MakeEvent("image.untagged", StrCat("images/", image.digest), "", normal, call.actor));
    auto write = [image](store::Transaction& txn) { return txn.PutImage(image); };
    CO_RETURN_IF_ERROR(co_await Commit(std::move(write), std::move(events)));
    images_[image.digest] = image;
  } else {
    CO_RETURN_IF_ERROR(co_await DropImage(*found, call.actor));
  }
  if (!call.request_id.empty()) {
    auto note = [request](store::Transaction& txn) { return RecordRequest(txn, request); };
    CO_RETURN_IF_ERROR(co_await Commit(std::move(note)));
    RememberRequest(request);
  }
  co_return absl::OkStatus();
}

Task<StatusOr<Garbage>> Node::CollectImages(Call call, bool all, bool validate_only) {
  co_await Uncancellable();
  const std::string what = all ? "all" : "unnamed";
  CO_ASSIGN_OR_RETURN(const auto earlier, co_await BeginRequest(call, "CollectGarbage", what));
  if (earlier) co_return Garbage{};
  const RequestGuard guard([this, id = call.request_id] { FinishRequest(id); });
  Garbage garbage;
  std::vector<Image> unused;
  for (const auto& [digest, image] : images_) {
    if (CountImageUsers(digest) == 0 && (all || image.names.empty())) unused.push_back(image);
  }
  for (const Image& image : unused) {
    // Somebody may have begun to use it while the one before was removed.
    if (!validate_only && CountImageUsers(image.digest) > 0) continue;
    if (!validate_only) {
      CO_RETURN_IF_ERROR(co_await DropImage(image, call.actor));
    }
    garbage.digests.push_back(image.digest);
    garbage.freed_bytes = SaturatingAdd(garbage.freed_bytes, image.size_bytes);
  }
  co_return garbage;
}

}  // namespace claw::lifecycle
