#include "agent/base/strings.h"
#include "agent/lifecycle/node.h"
#include "agent/lifecycle/request_guard.h"
#include "agent/model/json.h"
#include "agent/model/validate.h"

namespace claw::lifecycle {
namespace {

constexpr size_t kMaxReasonBytes = 500;

Status NoOverride(const std::string& digest) {
  return MakeError(StatusCode::kNotFound, StrCat("there is no override for image ", digest),
                   {.reason = "OVERRIDE_NOT_FOUND", .constraint = "image"});
}

Status CheckOverride(const CompatOverride& wanted, std::chrono::seconds ttl,
                     std::chrono::seconds max_ttl) {
  const std::string& digest = wanted.image_digest;
  const bool is_digest = digest.size() == 71 && digest.starts_with("sha256:") &&
                         digest.find_first_not_of("0123456789abcdef", 7) == std::string::npos;
  if (!is_digest) {
    return BadValue("image", "has to be a digest, since what a reference names may change");
  }
  if (wanted.isolation != IsolationClass::kGvisor &&
      wanted.isolation != IsolationClass::kLegacyHardened) {
    return BadValue("isolation_class", StrCat("can only be ", ToString(IsolationClass::kGvisor),
                                              " or ", ToString(IsolationClass::kLegacyHardened)));
  }
  RETURN_IF_ERROR(ValidateText("reason", wanted.reason, kMaxReasonBytes));
  if (Trim(wanted.reason).empty()) return BadValue("reason", "is missing");
  return ValidateRange("ttl", ttl.count(), kMinOverrideTime.count(), max_ttl.count(), " s");
}

}  // namespace

Task<StatusOr<CompatOverride>> Node::CreateOverride(Call call, CompatOverride wanted,
                                                    std::chrono::seconds ttl) {
  co_await Uncancellable();
  CO_RETURN_IF_ERROR(CheckOverride(wanted, ttl, config_.max_override_time));
  const std::string digest = wanted.image_digest;
  // Without the times and the giver, which are set here.
  wanted.given_by.clear();
  wanted.created_at = {};
  wanted.expires_at = {};
  const std::string fingerprint = ContentFingerprint(StrCat(ToJson(wanted), " ", ttl.count()));
  CO_ASSIGN_OR_RETURN(const auto earlier,
                      co_await BeginRequest(call, "CreateOverride", fingerprint));
  if (earlier) {
    if (const auto it = overrides_.find(digest); it != overrides_.end()) co_return it->second;
    co_return MakeError(StatusCode::kFailedPrecondition,
                        StrCat("this request made an override for image ", digest,
                               ", which is over or was removed"),
                        {.reason = "ALREADY_DONE", .constraint = "request_id"});
  }
  const RequestGuard guard([this, id = call.request_id] { FinishRequest(id); });
  wanted.given_by = call.actor;
  wanted.created_at = deps_.clock.Now();
  wanted.expires_at = wanted.created_at + ttl;
  const std::string subject = StrCat("images/", digest);
  const auto request = MakeRequest(call.request_id, "CreateOverride", fingerprint, subject);
  std::vector<Event> events;
  events.push_back(MakeEvent("compat.override_created", subject, "",
                             StrCat(ToString(wanted.isolation), " until ",
                                    FormatTime(wanted.expires_at), ": ", wanted.reason),
                             call.actor));
  auto write = [wanted, request](store::Transaction& txn) -> Status {
    RETURN_IF_ERROR(txn.PutOverride(wanted));
    return RecordRequest(txn, request);
  };
  CO_RETURN_IF_ERROR(co_await Commit(std::move(write), std::move(events)));
  overrides_[digest] = wanted;
  RememberRequest(request);
  co_return wanted;
}

Task<void> Node::DropExpiredOverrides() {
  const Time now = deps_.clock.Now();
  std::vector<CompatOverride> expired;
  for (const auto& [digest, value] : overrides_) {
    if (value.expires_at <= now) expired.push_back(value);
  }
  if (expired.empty()) co_return;
  std::vector<Event> events;
  for (const CompatOverride& value : expired) {
    overrides_.erase(value.image_digest);
    events.push_back(MakeEvent("compat.override_expired", StrCat("images/", value.image_digest), "",
                               StrCat("given by ", value.given_by, ": ", value.reason)));
  }
  auto write = [expired](store::Transaction& txn) -> Status {
    for (const CompatOverride& value : expired) {
      RETURN_IF_ERROR(txn.DeleteOverride(value.image_digest));
    }
    return absl::OkStatus();
  };
  // If the disk does not take it, the next start finds them expired again.
  (co_await Commit(std::move(write), std::move(events))).IgnoreError();
}

Task<std::vector<CompatOverride>> Node::ListOverrides() {
  co_await Uncancellable();
  co_await DropExpiredOverrides();
  std::vector<CompatOverride> all;
  for (const auto& [digest, value] : overrides_) all.push_back(value);
  co_return all;
}

Task<Status> Node::DeleteOverride(Call call, std::string image_digest, bool allow_missing) {
  co_await Uncancellable();
  const std::string fingerprint = ContentFingerprint(image_digest);
  CO_ASSIGN_OR_RETURN(const auto earlier,
                      co_await BeginRequest(call, "DeleteOverride", fingerprint));
  if (earlier) co_return absl::OkStatus();
  const RequestGuard guard([this, id = call.request_id] { FinishRequest(id); });
  const auto it = overrides_.find(image_digest);
  if (it == overrides_.end()) {
    co_return allow_missing ? absl::OkStatus() : NoOverride(image_digest);
  }
  const CompatOverride before = it->second;
  overrides_.erase(it);
  const std::string subject = StrCat("images/", image_digest);
  const auto request = MakeRequest(call.request_id, "DeleteOverride", fingerprint, subject);
  std::vector<Event> events;
  events.push_back(MakeEvent("compat.override_removed", subject, "",
                             StrCat("it was given by ", before.given_by), call.actor));
  auto write = [image_digest, request](store::Transaction& txn) -> Status {
    RETURN_IF_ERROR(txn.DeleteOverride(image_digest));
    return RecordRequest(txn, request);
  };
  const Status saved = co_await Commit(std::move(write), std::move(events));
  if (!saved.ok()) {
    overrides_.try_emplace(image_digest, before);
    co_return saved;
  }
  RememberRequest(request);
  co_return absl::OkStatus();
}

}  // namespace claw::lifecycle
