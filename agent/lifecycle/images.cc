#include <algorithm>

#include "agent/base/strings.h"
#include "agent/lifecycle/compat.h"
#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/node.h"
#include "agent/lifecycle/request_guard.h"
#include "agent/lifecycle/vms.h"

namespace claw::lifecycle {
namespace {

Status NoSuchImage(const std::string& name) {
  return MakeError(StatusCode::kNotFound, StrCat("there is no image '", name, "' on this node"),
                   {.reason = "IMAGE_NOT_FOUND", .constraint = "image"});
}

Status InUse(const std::string& digest, int users) {
  return MakeError(
      StatusCode::kFailedPrecondition,
      StrCat("image ", digest, " is used by ", users, " sandboxes or tests; remove them first"),
      {.reason = "IMAGE_IN_USE",
       .constraint = "use_count",
       .needed = "0",
       .available = StrCat(users)});
}

bool HasName(const Image& image, const std::string& name) {
  return std::find(image.names.begin(), image.names.end(), name) != image.names.end();
}

// What is left of an image that loses these names; nothing if it is meant itself, or has no other.
std::optional<Image> WithoutName(Image image, const Names& names) {
  size_t removed = 0;
  for (const std::string& name : names) removed += std::erase(image.names, name);
  if (removed == 0 || image.names.empty()) return std::nullopt;
  return image;
}

bool IsForOthers(const Status& status) {
  const auto detail = GetErrorDetail(status);
  return detail && detail->reason == "UNSUPPORTED_ARCHITECTURE";
}

// Of several images at once each step says whose it is.
image::Progress ProgressOf(const std::string& platform, bool several,
                           const image::Progress& progress) {
  if (!progress || !several) return progress;
  return [platform, progress](std::string_view phase, std::string_view message) {
    progress(phase, StrCat("linux/", platform, ": ", message));
  };
}

std::string EventOf(const std::string& method) {
  if (method == "PullImage") return "image.pulled";
  return method == "ImportImage" ? "image.imported" : "image.received";
}

// The same as before there were platforms, unless some are named: requests are remembered for long.
std::string FingerprintOf(Names parts, const Names& platforms) {
  parts.insert(parts.end(), platforms.begin(), platforms.end());
  return ContentFingerprint(Join(parts, " "));
}

std::string SubjectOf(const Images& images) {
  std::vector<std::string> digests;
  for (const Image& image : images) digests.push_back(image.digest);
  return StrCat("images/", Join(digests, " "));
}

// What came before one of them failed is kept apart from the failure: it is to be removed again.
struct Fetched {
  Images images;
  Status failed;
};

// What a pull or an import asks its pool thread for.
struct ImageFetch {
  std::string method;
  std::string fingerprint;
  Names platforms;
  bool all = false;  // each of them has to be there
  std::function<StatusOr<Image>(const std::string& platform)> one;

  StatusOr<Fetched> Run() const {
    Fetched fetched;
    Status none;
    for (const std::string& platform : platforms) {
      StatusOr<Image> image = one(platform);
      if (image.ok()) {
        fetched.images.push_back(*std::move(image));
      } else if (!all && IsForOthers(image.status())) {
        none.Update(image.status());  // keeps the first
      } else {
        fetched.failed = image.status();
        return fetched;
      }
    }
    if (fetched.images.empty()) fetched.failed = none;
    return fetched;
  }
};

}  // namespace

// What the verbs share.
struct Node::ImageBook {
  Node& node;

  Names OwnPlatforms() const;
  Task<StatusOr<Images>> Add(Call call, ImageFetch fetch);
  // Needs image_mutex_.
  Task<StatusOr<Images>> Record(Call call, store::RequestRecord request, Images images);
  Task<Status> Drop(Image image, std::string actor);
};

Names Node::ImageBook::OwnPlatforms() const {
  const std::string& here = node.deps_.host.architecture;
  Names platforms = {here};
  if (node.vms_->enabled() && here != "arm64") platforms.emplace_back("arm64");
  return platforms;
}

StatusOr<Images> Node::FindVariants(const std::string& reference_or_digest) const {
  Images found;
  if (const auto it = images_.find(reference_or_digest); it != images_.end()) {
    found.push_back(it->second);
    return found;
  }
  const StatusOr<std::string> normal = image::NormalizeReference(reference_or_digest);
  for (const auto& [digest, image] : images_) {
    if (HasName(image, reference_or_digest) || (normal.ok() && HasName(image, *normal))) {
      found.push_back(image);
    }
  }
  if (found.empty()) return NoSuchImage(reference_or_digest);
  std::stable_partition(found.begin(), found.end(), [this](const Image& image) {
    return image.architecture == deps_.host.architecture;
  });
  return found;
}

StatusOr<Image> Node::FindImage(const std::string& reference_or_digest) const {
  ASSIGN_OR_RETURN(Images found, FindVariants(reference_or_digest));
  return std::move(found.front());
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

Task<StatusOr<Images>> Node::ImageBook::Add(Call call, ImageFetch fetch) {
  CO_ASSIGN_OR_RETURN(const auto earlier,
                      co_await node.BeginRequest(call, fetch.method, fetch.fingerprint));
  if (earlier) {
    Images images;
    const std::string digests = ResourceId(earlier->subject);
    for (const std::string_view digest : Split(digests, ' ', true)) {
      CO_ASSIGN_OR_RETURN(Image image, node.FindImage(std::string(digest)));
      images.push_back(std::move(image));
    }
    co_return images;
  }
  const RequestGuard guard([this, id = call.request_id] { node.FinishRequest(id); });
  auto run = [&fetch] { return fetch.Run(); };
  CO_ASSIGN_OR_RETURN(Fetched fetched, co_await node.deps_.pool.Run(run));
  // From here on nobody removes images; one that was removed since the fetch found it is fetched
  // again.
  const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(node.image_mutex_);
  const auto is_gone = [this](const Image& image) {
    std::error_code error;
    return !std::filesystem::exists(node.deps_.images.RootfsPath(image.digest), error);
  };
  if (fetched.failed.ok() && std::any_of(fetched.images.begin(), fetched.images.end(), is_gone)) {
    CO_ASSIGN_OR_RETURN(fetched, co_await node.deps_.pool.Run(run));
  }
  if (!fetched.failed.ok()) {
    // Whoever has found it there meanwhile waits for the lock, and fetches it again.
    std::erase_if(fetched.images,
                  [this](const Image& image) { return node.images_.count(image.digest) > 0; });
    auto remove = [&images = node.deps_.images, &fetched] {
      Status status;
      for (const Image& image : fetched.images) status.Update(images.Remove(image.digest));
      return status;
    };
    const Status removed = co_await node.deps_.pool.Run(std::move(remove));
    removed.IgnoreError();
    co_return fetched.failed;
  }
  store::RequestRecord request =
      node.MakeRequest(call.request_id, fetch.method, fetch.fingerprint, SubjectOf(fetched.images));
  co_return co_await Record(call, std::move(request), std::move(fetched.images));
}

Task<StatusOr<Images>> Node::ImageBook::Record(Call call, store::RequestRecord request,
                                               Images images) {
  std::map<std::string, Image> changed;
  std::vector<Event> events;
  for (Image& image : images) {
    // A name points at one image of an architecture: it is taken from the one that had it.
    for (const auto& [digest, other] : node.images_) {
      if (digest == image.digest || other.architecture != image.architecture) continue;
      Image without = other;
      const auto is_taken = [&image](const std::string& name) { return HasName(image, name); };
      if (std::erase_if(without.names, is_taken) > 0) changed[digest] = std::move(without);
    }
    if (const auto it = node.images_.find(image.digest); it != node.images_.end()) {
      Image merged = it->second;
      for (const std::string& name : image.names) {
        if (!HasName(merged, name)) merged.names.push_back(name);
      }
      merged.signers = image.signers;  // those on disk are never fewer
      image = std::move(merged);
    }
    changed[image.digest] = image;
    events.push_back(node.MakeEvent(EventOf(request.method), StrCat("images/", image.digest), "",
                                    StrCat(image.names.empty() ? image.digest : image.names.front(),
                                           ", ", FormatBytes(image.size_bytes)),
                                    call.actor));
  }
  const auto write = [changed, request](store::Transaction& txn) -> Status {
    for (const auto& [digest, entry] : changed) RETURN_IF_ERROR(txn.PutImage(entry));
    return RecordRequest(txn, request);
  };
  CO_RETURN_IF_ERROR(co_await node.Commit(write, std::move(events)));
  for (const auto& [digest, entry] : changed) node.images_[digest] = entry;
  node.RememberRequest(request);
  co_return images;
}

Task<StatusOr<Image>> Node::AddReceivedImage(Call call, Image image) {
  co_await Uncancellable();
  CO_ASSIGN_OR_RETURN(const auto earlier, co_await BeginRequest(call, "PutImage", image.digest));
  if (earlier) co_return FindImage(image.digest);
  const RequestGuard guard([this, id = call.request_id] { FinishRequest(id); });
  const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(image_mutex_);
  std::error_code error;
  if (!std::filesystem::exists(deps_.images.RootfsPath(image.digest), error)) {
    co_return Unavailable("image ", image.digest, " was removed while it came; send it again");
  }
  if (const auto it = images_.find(image.digest); it != images_.end() && it->second == image) {
    co_return image;
  }
  Images images = {image};
  store::RequestRecord request =
      MakeRequest(call.request_id, "PutImage", image.digest, SubjectOf(images));
  ImageBook book{*this};
  CO_ASSIGN_OR_RETURN(images, co_await book.Record(call, std::move(request), std::move(images)));
  co_return std::move(images.front());
}

Task<StatusOr<Images>> Node::PullImage(Call call, std::string reference, bool insecure,
                                       std::string signer, Names platforms,
                                       image::Progress progress) {
  co_await Uncancellable();
  ImageBook book{*this};
  ImageFetch fetch;
  fetch.method = "PullImage";
  fetch.fingerprint = FingerprintOf({reference, signer}, platforms);
  fetch.all = !platforms.empty();
  fetch.platforms = fetch.all ? std::move(platforms) : book.OwnPlatforms();
  fetch.one = [&images = deps_.images, reference, insecure, signer, progress,
               several = fetch.platforms.size() > 1](const std::string& platform) {
    return images.Pull(reference, platform, insecure, signer,
                       ProgressOf(platform, several, progress));
  };
  co_return co_await book.Add(call, std::move(fetch));
}

Task<StatusOr<Images>> Node::ImportImage(Call call, std::string source, std::string reference,
                                         std::string signer, Names platforms,
                                         image::Progress progress) {
  co_await Uncancellable();
  ImageBook book{*this};
  ImageFetch fetch;
  fetch.method = "ImportImage";
  fetch.fingerprint = FingerprintOf({source, reference, signer}, platforms);
  fetch.all = !platforms.empty();
  fetch.platforms = fetch.all ? std::move(platforms) : book.OwnPlatforms();
  // A root folder is of one platform, and does not say of which.
  if (!fetch.all && source.starts_with("rootfs:")) fetch.platforms.resize(1);
  fetch.one = [&images = deps_.images, source, reference, signer, progress,
               several = fetch.platforms.size() > 1](const std::string& platform) {
    return images.Import(source, platform, reference, signer,
                         ProgressOf(platform, several, progress));
  };
  co_return co_await book.Add(call, std::move(fetch));
}

Task<Status> Node::ImageBook::Drop(Image image, std::string actor) {
  const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(node.image_mutex_);
  if (const int users = node.CountImageUsers(image.digest); users > 0) {
    co_return InUse(image.digest, users);
  }
  node.images_.erase(image.digest);
  std::vector<Event> events;
  events.push_back(node.MakeEvent("image.removed", StrCat("images/", image.digest), "",
                                  StrCat(FormatBytes(image.size_bytes), " freed"),
                                  std::move(actor)));
  auto write = [digest = image.digest](store::Transaction& txn) { return txn.DeleteImage(digest); };
  const Status saved = co_await node.Commit(std::move(write), std::move(events));
  if (!saved.ok()) {
    node.images_[image.digest] = image;
    co_return saved;
  }
  image::ImageStore& images = node.deps_.images;
  auto work = [&images, digest = image.digest] { return images.Remove(digest); };
  co_return co_await node.deps_.pool.Run(std::move(work));
}

Task<Status> Node::DeleteImage(Call call, std::string reference_or_digest, bool allow_missing) {
  co_await Uncancellable();
  const std::string fingerprint = ContentFingerprint(reference_or_digest);
  CO_ASSIGN_OR_RETURN(const auto earlier, co_await BeginRequest(call, "DeleteImage", fingerprint));
  if (earlier) co_return absl::OkStatus();
  const RequestGuard guard([this, id = call.request_id] { FinishRequest(id); });
  StatusOr<Images> found = FindVariants(reference_or_digest);
  if (!found.ok()) co_return allow_missing ? absl::OkStatus() : found.status();
  const Images variants = *std::move(found);
  Names names = {reference_or_digest};
  names.push_back(image::NormalizeReference(reference_or_digest).value_or(reference_or_digest));
  const auto request =
      MakeRequest(call.request_id, "DeleteImage", fingerprint, SubjectOf(variants));
  // None of them goes if one has to stay.
  for (const Image& image : variants) {
    const int users = CountImageUsers(image.digest);
    if (users > 0 && !WithoutName(image, names)) co_return InUse(image.digest, users);
  }
  ImageBook book{*this};
  for (const Image& image : variants) {
    const auto now = images_.find(image.digest);
    if (now == images_.end()) continue;
    const std::optional<Image> left = WithoutName(now->second, names);
    if (!left) {
      CO_RETURN_IF_ERROR(co_await book.Drop(image, call.actor));
      continue;
    }
    std::vector<Event> events;
    events.push_back(
        MakeEvent("image.untagged", StrCat("images/", image.digest), "", names.back(), call.actor));
    auto write = [left](store::Transaction& txn) { return txn.PutImage(*left); };
    CO_RETURN_IF_ERROR(co_await Commit(std::move(write), std::move(events)));
    images_[image.digest] = *left;
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
  ImageBook book{*this};
  std::vector<Image> unused;
  for (const auto& [digest, image] : images_) {
    if (CountImageUsers(digest) == 0 && (all || image.names.empty())) unused.push_back(image);
  }
  for (const Image& image : unused) {
    // Somebody may have begun to use it while the one before was removed.
    if (!validate_only && CountImageUsers(image.digest) > 0) continue;
    if (!validate_only) {
      CO_RETURN_IF_ERROR(co_await book.Drop(image, call.actor));
    }
    garbage.digests.push_back(image.digest);
    garbage.freed_bytes = SaturatingAdd(garbage.freed_bytes, image.size_bytes);
  }
  co_return garbage;
}

}  // namespace claw::lifecycle
