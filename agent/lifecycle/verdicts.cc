#include <algorithm>

#include "agent/base/strings.h"
#include "agent/lifecycle/node.h"
#include "agent/lifecycle/request_guard.h"
#include "agent/lifecycle/vms.h"

namespace claw::lifecycle {
namespace {

Status NoVerdict(const std::string& image) {
  return MakeError(
      StatusCode::kNotFound,
      StrCat("image ", image, " was never tested here; test it with `clawctl node compat test ",
             image, "`"),
      {.reason = "VERDICT_NOT_FOUND", .constraint = "image"});
}

bool IsDigestForm(const std::string& text) {
  constexpr std::string_view kPrefix = "sha256:";
  return text.size() == kPrefix.size() + 64 && text.starts_with(kPrefix) &&
         text.find_first_not_of("0123456789abcdef", kPrefix.size()) == std::string::npos;
}

Status CheckAcceptable(const CompatVerdict& verdict, bool stale) {
  if (stale) {
    return MakeError(StatusCode::kFailedPrecondition,
                     StrCat("the verdict is of gVisor ", verdict.runtime_version, " on ",
                            verdict.platform, ", which is not this node's: test the image again"),
                     {.reason = "VERDICT_STALE", .constraint = "runtime_version"});
  }
  if (verdict.result == CompatResult::kDegraded) return absl::OkStatus();
  return MakeError(StatusCode::kFailedPrecondition,
                   StrCat("the image is ", ToString(verdict.result),
                          "; only a DEGRADED one can and need be accepted"),
                   {.reason = "NOT_DEGRADED",
                    .constraint = "result",
                    .needed = std::string(ToString(CompatResult::kDegraded)),
                    .available = std::string(ToString(verdict.result))});
}

}  // namespace

StatusOr<std::string> Node::DigestOf(const std::string& image) const {
  if (IsDigestForm(image)) return image;
  ASSIGN_OR_RETURN(const Image found, FindImage(image));
  return found.digest;
}

// It is about no gVisor that is here, or in one of the VMs.
bool Node::IsStale(const CompatVerdict& verdict) const {
  const DriverState* gvisor = DriverOf(IsolationClass::kGvisor);
  if (gvisor != nullptr && IsFresh(verdict, gvisor->fingerprint.runtime_version,
                                   gvisor->fingerprint.platform, deps_.host.architecture)) {
    return false;
  }
  const std::vector<const placement::Target*> guests = vms_->Targets();
  return std::none_of(guests.begin(), guests.end(), [&verdict](const placement::Target* guest) {
    const placement::Platform& platform = *guest->platform;
    const placement::Runtime* runtime = platform.Of(IsolationClass::kGvisor);
    return runtime != nullptr &&
           IsFresh(verdict, runtime->version, runtime->platform, platform.architecture);
  });
}

CompatVerdict* Node::FindVerdict(const CompatVerdict& like) {
  const auto known = verdicts_.find(like.image_digest);
  if (known == verdicts_.end()) return nullptr;
  const auto it = std::find_if(known->second.begin(), known->second.end(),
                               [key = VerdictKey(like)](const CompatVerdict& verdict) {
                                 return VerdictKey(verdict) == key;
                               });
  return it == known->second.end() ? nullptr : &*it;
}

void Node::PutVerdict(CompatVerdict verdict) {
  if (CompatVerdict* known = FindVerdict(verdict)) {
    *known = std::move(verdict);
    return;
  }
  std::vector<CompatVerdict>& of_image = verdicts_[verdict.image_digest];
  const auto place = std::upper_bound(
      of_image.begin(), of_image.end(), VerdictKey(verdict),
      [](const std::string& key, const CompatVerdict& other) { return key < VerdictKey(other); });
  of_image.insert(place, std::move(verdict));
}

StatusOr<CompatVerdict> Node::GetVerdict(const std::string& image) const {
  ASSIGN_OR_RETURN(const std::string digest, DigestOf(image));
  const auto verdicts = verdicts_.find(digest);
  if (verdicts == verdicts_.end()) return NoVerdict(image);
  // The one that counts, or the newest of those that do not.
  const CompatVerdict* found = &verdicts->second.front();
  for (const CompatVerdict& verdict : verdicts->second) {
    if (!IsStale(verdict)) return verdict;
    if (found->tested_at < verdict.tested_at) found = &verdict;
  }
  return *found;
}

std::vector<CompatVerdict> Node::ListVerdicts() const {
  std::vector<CompatVerdict> all;
  for (const auto& [digest, verdicts] : verdicts_) {
    all.insert(all.end(), verdicts.begin(), verdicts.end());
  }
  return all;
}

Task<StatusOr<CompatVerdict>> Node::AcceptVerdict(Call call, std::string image) {
  co_await Uncancellable();
  const std::string fingerprint = ContentFingerprint(image);
  CO_ASSIGN_OR_RETURN(const auto earlier,
                      co_await BeginRequest(call, "AcceptVerdict", fingerprint));
  if (earlier) co_return GetVerdict(ResourceId(earlier->subject));
  const RequestGuard guard([this, id = call.request_id] { FinishRequest(id); });
  CO_ASSIGN_OR_RETURN(CompatVerdict verdict, GetVerdict(image));
  CO_RETURN_IF_ERROR(CheckAcceptable(verdict, IsStale(verdict)));
  if (!verdict.accepted_by.empty()) co_return verdict;
  const CompatVerdict before = verdict;
  verdict.accepted_by = call.actor;
  const std::string subject = StrCat("images/", verdict.image_digest);
  const auto request = MakeRequest(call.request_id, "AcceptVerdict", fingerprint, subject);
  std::vector<Event> events;
  events.push_back(MakeEvent("compat.accepted", subject, "", verdict.summary, call.actor));
  auto write = [verdict, request](store::Transaction& txn) -> Status {
    RETURN_IF_ERROR(txn.PutVerdict(verdict));
    return RecordRequest(txn, request);
  };
  CO_RETURN_IF_ERROR(co_await Commit(std::move(write), std::move(events)));
  // A test that has ended meanwhile wrote after this, and what it found was not accepted.
  CompatVerdict* now = FindVerdict(verdict);
  if (now == nullptr || *now != before) {
    co_return MakeError(StatusCode::kAborted,
                        "the image was tested again or its verdict removed at the same time",
                        {.reason = "VERDICT_CHANGED", .constraint = "image"});
  }
  *now = verdict;
  RememberRequest(request);
  co_return verdict;
}

Task<Status> Node::DeleteVerdict(Call call, std::string image, bool allow_missing) {
  co_await Uncancellable();
  const std::string fingerprint = ContentFingerprint(image);
  CO_ASSIGN_OR_RETURN(const auto earlier,
                      co_await BeginRequest(call, "DeleteVerdict", fingerprint));
  if (earlier) co_return absl::OkStatus();
  const RequestGuard guard([this, id = call.request_id] { FinishRequest(id); });
  const StatusOr<std::string> digest = DigestOf(image);
  if (!digest.ok()) co_return allow_missing ? absl::OkStatus() : digest.status();
  const auto known = verdicts_.find(*digest);
  if (known == verdicts_.end()) co_return allow_missing ? absl::OkStatus() : NoVerdict(image);
  // Gone at once: from here on the image counts as untested.
  const std::vector<CompatVerdict> removed = std::move(known->second);
  verdicts_.erase(known);
  const std::string subject = StrCat("images/", *digest);
  const auto request = MakeRequest(call.request_id, "DeleteVerdict", fingerprint, subject);
  std::vector<Event> events;
  events.push_back(MakeEvent("compat.verdict_removed", subject, "",
                             StrCat(removed.size(), " verdicts removed"), call.actor));
  auto write = [removed, request](store::Transaction& txn) -> Status {
    for (const CompatVerdict& verdict : removed) {
      RETURN_IF_ERROR(txn.DeleteVerdict(VerdictKey(verdict)));
    }
    return RecordRequest(txn, request);
  };
  const Status saved = co_await Commit(std::move(write), std::move(events));
  if (!saved.ok()) {
    // Back, but for those that a test has renewed.
    for (const CompatVerdict& verdict : removed) {
      if (FindVerdict(verdict) == nullptr) PutVerdict(verdict);
    }
    co_return saved;
  }
  RememberRequest(request);
  co_return absl::OkStatus();
}

}  // namespace claw::lifecycle
