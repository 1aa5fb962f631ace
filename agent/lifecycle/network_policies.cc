#include "agent/base/strings.h"
#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/layers.h"
#include "agent/lifecycle/node.h"
#include "agent/lifecycle/request_guard.h"
#include "agent/model/json.h"

namespace claw::lifecycle {
namespace {

Status NoSuchPolicy(const std::string& name) {
  return MakeError(StatusCode::kNotFound, StrCat("there is no network policy '", name, "'"),
                   {.reason = "NETWORK_POLICY_NOT_FOUND",
                    .constraint = "network_policy",
                    .outcome = Outcome::kRefused});
}

Status PolicyInUse(const std::string& name, const std::vector<std::string>& tenants) {
  constexpr size_t kMostNamed = 5;
  std::vector<std::string> named = tenants;
  if (named.size() > kMostNamed) {
    named.resize(kMostNamed);
    named.push_back("…");
  }
  return MakeError(StatusCode::kFailedPrecondition,
                   StrCat("network policy '", name, "' is that of ", tenants.size(), " tenants (",
                          Join(named, ", "), "); give them another one first"),
                   {.reason = "NETWORK_POLICY_IN_USE",
                    .constraint = "tenants",
                    .needed = "0",
                    .available = StrCat(tenants.size()),
                    .outcome = Outcome::kRefused});
}

std::string SubjectOf(const std::string& name) { return StrCat("networkPolicies/", name); }

}  // namespace

StatusOr<NamedNetworkPolicy> Node::GetNetworkPolicy(const std::string& name) const {
  const auto it = network_policies_.find(name);
  if (it == network_policies_.end()) return NoSuchPolicy(name);
  return it->second;
}

std::vector<NamedNetworkPolicy> Node::ListNetworkPolicies() const {
  std::vector<NamedNetworkPolicy> all;
  for (const auto& [name, named] : network_policies_) all.push_back(named);
  return all;
}

Task<StatusOr<NamedNetworkPolicy>> Node::PutNetworkPolicy(Call call, NamedNetworkPolicy wanted) {
  co_await Uncancellable();
  CO_RETURN_IF_ERROR(ValidateName("policy.name", wanted.name));
  CO_RETURN_IF_ERROR(ValidateNetworkPolicy(wanted.policy, "policy"));
  wanted.created_at = Time{};
  wanted.updated_at = Time{};
  const std::string name = wanted.name;
  const std::string fingerprint = ContentFingerprint(ToJson(wanted));
  CO_ASSIGN_OR_RETURN(const auto earlier,
                      co_await BeginRequest(call, "PutNetworkPolicy", fingerprint));
  if (earlier) co_return GetNetworkPolicy(name);
  const RequestGuard guard([this, id = call.request_id] { FinishRequest(id); });
  // One change at a time, and none of which policy a tenant has: taking one back must not take back
  // another's.
  const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(tenant_mutex_);
  std::optional<NamedNetworkPolicy> before;
  if (const auto it = network_policies_.find(name); it != network_policies_.end()) {
    before = it->second;
  }
  const NamedNetworkPolicy known = before.value_or(NamedNetworkPolicy{});
  NamedNetworkPolicy changed = wanted;
  const Time now = deps_.clock.Now();
  changed.created_at = before ? known.created_at : now;
  const bool same = before && known.policy == wanted.policy;
  changed.updated_at = same ? known.updated_at : now;
  // Those that are under the policy when it is asked: sandboxes come and go meanwhile, and what
  // starts takes what is in network_policies_. The ones that have ended, too: rules are shared.
  const auto under = [this, name] {
    std::vector<std::shared_ptr<Entry>> entries;
    for (const auto& [id, entry] : sandboxes_) {
      const auto tenant = tenants_.find(entry->record.spec.tenant);
      if (tenant == tenants_.end() || tenant->second.network_policy != name) continue;
      if (entry->record.network_mode != NetworkMode::kNone) entries.push_back(entry);
    }
    return entries;
  };
  const auto restore = [this, before, name] {
    if (before) network_policies_[name] = *before;
    if (!before) network_policies_.erase(name);
  };
  network_policies_[name] = changed;
  for (const std::shared_ptr<Entry>& entry : under()) {
    const Sandbox& sandbox = entry->record;
    const auto layers = NetworkLayers(tenants_[sandbox.spec.tenant], sandbox.spec.network);
    const Status allowed = CheckLayers(sandbox, layers);
    if (!allowed.ok()) {
      restore();
      co_return allowed;
    }
  }
  // In force before it is recorded, so that it never counts without being in force.
  Status status = co_await ReplaceRules(under());
  const auto request =
      MakeRequest(call.request_id, "PutNetworkPolicy", fingerprint, SubjectOf(name));
  if (status.ok()) {
    std::vector<Event> events;
    if (!same) {
      const std::string difference = policy::DescribeChange(known.policy, changed.policy);
      std::string text = before ? "changed" : "new";
      if (!difference.empty()) text += StrCat(": ", difference);
      events.push_back(
          MakeEvent("network_policy.set", SubjectOf(name), "", std::move(text), call.actor));
    }
    auto write = [changed, request](store::Transaction& txn) -> Status {
      RETURN_IF_ERROR(txn.PutNetworkPolicy(changed));
      return RecordRequest(txn, request);
    };
    status = co_await Commit(std::move(write), std::move(events));
  }
  if (status.ok()) {
    RememberRequest(request);
    co_return changed;
  }
  restore();
  const Status back = co_await ReplaceRules(under());
  if (back.ok()) co_return status;
  co_return Annotate(status, StrCat("and the rules of before are not in force again (",
                                    ToStd(back.message()), ")"));
}

Task<Status> Node::DeleteNetworkPolicy(Call call, std::string name, bool allow_missing) {
  co_await Uncancellable();
  const std::string fingerprint = ContentFingerprint(name);
  CO_ASSIGN_OR_RETURN(const auto earlier,
                      co_await BeginRequest(call, "DeleteNetworkPolicy", fingerprint));
  if (earlier) co_return absl::OkStatus();
  const RequestGuard guard([this, id = call.request_id] { FinishRequest(id); });
  const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(tenant_mutex_);
  const auto it = network_policies_.find(name);
  if (it == network_policies_.end()) {
    co_return allow_missing ? absl::OkStatus() : NoSuchPolicy(name);
  }
  std::vector<std::string> users;
  for (const auto& [tenant_name, tenant] : tenants_) {
    if (tenant.network_policy == name) users.push_back(tenant_name);
  }
  if (!users.empty()) co_return PolicyInUse(name, users);
  const NamedNetworkPolicy before = it->second;
  // Gone at once: a tenant that comes while it is written down must not refer to it.
  network_policies_.erase(it);
  const auto request =
      MakeRequest(call.request_id, "DeleteNetworkPolicy", fingerprint, SubjectOf(name));
  std::vector<Event> events;
  events.push_back(MakeEvent("network_policy.removed", SubjectOf(name), "", "removed", call.actor));
  auto write = [name, request](store::Transaction& txn) -> Status {
    RETURN_IF_ERROR(txn.DeleteNetworkPolicy(name));
    return RecordRequest(txn, request);
  };
  const Status saved = co_await Commit(std::move(write), std::move(events));
  if (!saved.ok()) {
    network_policies_[name] = before;
    co_return saved;
  }
  RememberRequest(request);
  co_return absl::OkStatus();
}

}  // namespace claw::lifecycle
