#include "agent/base/strings.h"
#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/layers.h"
#include "agent/lifecycle/node.h"
#include "agent/lifecycle/request_guard.h"
#include "agent/model/json.h"

namespace claw::lifecycle {
namespace {

Status NoSuchTenant(const std::string& name) {
  return MakeError(StatusCode::kNotFound, StrCat("there is no tenant '", name, "'"),
                   {.reason = "TENANT_NOT_FOUND", .constraint = "tenant"});
}

// The same but for the times.
bool IsSameTenant(const Tenant& known, Tenant wanted) {
  wanted.created_at = known.created_at;
  wanted.updated_at = known.updated_at;
  return known == wanted;
}

Status TenantExists(const Tenant& known, const Tenant& wanted) {
  ErrorDetail detail{.reason = "TENANT_EXISTS"};
  std::string what = "with other settings";
  if (known.trust != wanted.trust) {
    what = StrCat("and is ", ToString(known.trust));
    detail.constraint = "trust";
    detail.needed = ToString(wanted.trust);
    detail.available = ToString(known.trust);
  }
  return MakeError(StatusCode::kAlreadyExists,
                   StrCat("tenant '", known.name, "' exists ", what, "; change it with ",
                          "`clawctl node tenant set ", known.name, "`"),
                   std::move(detail));
}

Tenant Patched(Tenant tenant, const TenantPatch& patch) {
  tenant.trust = patch.trust.value_or(tenant.trust);
  TenantQuota& quota = tenant.quota;
  quota.sandboxes = patch.quota_sandboxes.value_or(quota.sandboxes);
  quota.workload_bytes = patch.quota_workload_bytes.value_or(quota.workload_bytes);
  quota.cpu_millis = patch.quota_cpu_millis.value_or(quota.cpu_millis);
  tenant.labels = patch.labels.value_or(tenant.labels);
  tenant.allowed_images = patch.allowed_images.value_or(tenant.allowed_images);
  tenant.network_policy = patch.network_policy.value_or(tenant.network_policy);
  return tenant;
}

// One sentence for a person; empty if nothing differs.
std::string DescribeChange(const Tenant& before, const Tenant& after) {
  std::vector<std::string> parts;
  const auto number = [&parts](std::string_view what, int64_t from, int64_t to) {
    if (from != to) parts.push_back(StrCat(what, " ", from, " -> ", to));
  };
  if (before.trust != after.trust) {
    parts.push_back(StrCat("trust ", ToString(before.trust), " -> ", ToString(after.trust)));
  }
  number("quota.sandboxes", before.quota.sandboxes, after.quota.sandboxes);
  number("quota.workload_bytes", before.quota.workload_bytes, after.quota.workload_bytes);
  number("quota.cpu_millis", before.quota.cpu_millis, after.quota.cpu_millis);
  if (before.labels != after.labels) parts.push_back("labels changed");
  if (before.allowed_images != after.allowed_images) {
    parts.push_back(after.allowed_images.empty()
                        ? "any image is allowed"
                        : StrCat("allowed images: ", Join(after.allowed_images, " ")));
  }
  if (before.network_policy != after.network_policy) {
    parts.push_back(StrCat("network policy '", after.network_policy, "'"));
  }
  return Join(parts, ", ");
}

}  // namespace

StatusOr<Tenant> Node::GetTenant(const std::string& name) const {
  const auto it = tenants_.find(name);
  if (it == tenants_.end()) return NoSuchTenant(name);
  return it->second;
}

std::vector<Tenant> Node::ListTenants() const {
  std::vector<Tenant> all;
  for (const auto& [name, tenant] : tenants_) all.push_back(tenant);
  return all;
}

int Node::CountSandboxes(const std::string& tenant) const {
  int count = 0;
  for (const auto& [id, entry] : sandboxes_) count += entry->record.spec.tenant == tenant ? 1 : 0;
  return count;
}

Task<StatusOr<Tenant>> Node::CreateTenant(Call call, Tenant wanted) {
  co_await Uncancellable();
  CO_RETURN_IF_ERROR(ValidateTenant(wanted));
  wanted.created_at = Time{};
  wanted.updated_at = Time{};
  const std::string fingerprint = ContentFingerprint(ToJson(wanted));
  CO_ASSIGN_OR_RETURN(const auto earlier, co_await BeginRequest(call, "CreateTenant", fingerprint));
  if (earlier) co_return GetTenant(wanted.name);
  const RequestGuard guard([this, id = call.request_id] { FinishRequest(id); });
  if (const auto it = tenants_.find(wanted.name); it != tenants_.end()) {
    if (IsSameTenant(it->second, wanted)) co_return it->second;
    co_return TenantExists(it->second, wanted);
  }
  if (!wanted.network_policy.empty()) {
    CO_RETURN_IF_ERROR(GetNetworkPolicy(wanted.network_policy).status());
  }
  Tenant tenant = wanted;
  tenant.created_at = deps_.clock.Now();
  tenant.updated_at = tenant.created_at;
  // Taken at once, so that two calls at the same time cannot both make it.
  tenants_[tenant.name] = tenant;
  const std::string subject = StrCat("tenants/", tenant.name);
  const auto request = MakeRequest(call.request_id, "CreateTenant", fingerprint, subject);
  std::vector<Event> events;
  events.push_back(MakeEvent("tenant.created", subject, tenant.name,
                             StrCat("tenant ", tenant.name, " is ", ToString(tenant.trust)),
                             call.actor));
  auto write = [tenant, request](store::Transaction& txn) -> Status {
    RETURN_IF_ERROR(txn.PutTenant(tenant));
    return RecordRequest(txn, request);
  };
  const Status saved = co_await Commit(std::move(write), std::move(events));
  if (!saved.ok()) {
    tenants_.erase(tenant.name);
    co_return saved;
  }
  RememberRequest(request);
  co_return tenant;
}

Task<StatusOr<Tenant>> Node::UpdateTenant(Call call, std::string name, TenantPatch patch) {
  co_await Uncancellable();
  CO_ASSIGN_OR_RETURN(const Tenant known, GetTenant(name));
  const Tenant asked = Patched(known, patch);
  CO_RETURN_IF_ERROR(ValidateTenant(asked));
  // The change itself, not what comes of it: a retry finds the tenant changed already.
  const std::string fingerprint = ContentFingerprint(ToJson(Patched(Tenant{.name = name}, patch)));
  CO_ASSIGN_OR_RETURN(const auto earlier, co_await BeginRequest(call, "UpdateTenant", fingerprint));
  if (earlier) co_return GetTenant(name);
  const RequestGuard guard([this, id = call.request_id] { FinishRequest(id); });
  // One change at a time: taking one back must not take back another's.
  const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(tenant_mutex_);
  // Read again: another call may have been under way.
  CO_ASSIGN_OR_RETURN(const Tenant before, GetTenant(name));
  // One that it has already may be gone, damaged: then everything is denied, and the rest can
  // change.
  if (patch.network_policy && !patch.network_policy->empty()) {
    CO_RETURN_IF_ERROR(GetNetworkPolicy(*patch.network_policy).status());
  }
  Tenant changed = Patched(before, patch);
  const std::string difference = DescribeChange(before, changed);
  const bool lowered = before.trust == Trust::kTrusted && changed.trust != Trust::kTrusted;
  // Those that the tenant has when it is asked: sandboxes come and go meanwhile.
  const bool other_rules = before.network_policy != changed.network_policy;
  const auto connected = [this, name, other_rules] {
    std::vector<std::shared_ptr<Entry>> entries;
    for (const auto& [id, entry] : sandboxes_) {
      const Sandbox& sandbox = entry->record;
      const bool its = sandbox.spec.tenant == name && sandbox.network_mode != NetworkMode::kNone;
      if (its && other_rules) entries.push_back(entry);
    }
    return entries;
  };
  for (const std::shared_ptr<Entry>& entry : connected()) {
    const Sandbox& sandbox = entry->record;
    CO_RETURN_IF_ERROR(CheckLayers(sandbox, NetworkLayers(changed, sandbox.spec.network)));
  }
  changed.updated_at = deps_.clock.Now();
  // In force from here on: nothing more starts on the trust that was taken away.
  tenants_[name] = changed;
  auto forbidden = RevokeForbidden(call.actor);
  Status saved = co_await ReplaceRules(connected());
  const std::string subject = StrCat("tenants/", name);
  const auto request = MakeRequest(call.request_id, "UpdateTenant", fingerprint, subject);
  std::string type = "tenant.changed";
  if (lowered) type = "tenant.trust_lowered";
  std::vector<Event> events;
  if (!difference.empty()) {
    events.push_back(MakeEvent(std::move(type), subject, name, difference, call.actor));
  }
  auto write = [changed, request](store::Transaction& txn) -> Status {
    RETURN_IF_ERROR(txn.PutTenant(changed));
    return RecordRequest(txn, request);
  };
  if (saved.ok()) saved = co_await Commit(std::move(write), std::move(events));
  if (!saved.ok() && tenants_.count(name) > 0) {
    tenants_[name] = before;
    // Trust that was taken away stays away, recorded or not.
    if (lowered) tenants_[name].trust = changed.trust;
    const Status back = co_await ReplaceRules(connected());
    if (!back.ok()) saved = Annotate(saved, "the rules of before are not in force again");
  }
  if (saved.ok()) RememberRequest(request);
  const Status revoked = co_await AwaitRevoked(std::move(forbidden));
  if (!saved.ok()) {
    co_return lowered ? Annotate(saved, "the trust is lowered until the agent restarts") : saved;
  }
  CO_RETURN_IF_ERROR(revoked);
  co_return changed;
}

Task<Status> Node::DeleteTenant(Call call, std::string name, bool allow_missing) {
  co_await Uncancellable();
  const std::string fingerprint = ContentFingerprint(name);
  CO_ASSIGN_OR_RETURN(const auto earlier, co_await BeginRequest(call, "DeleteTenant", fingerprint));
  if (earlier) co_return absl::OkStatus();
  const RequestGuard guard([this, id = call.request_id] { FinishRequest(id); });
  const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(tenant_mutex_);
  const auto it = tenants_.find(name);
  if (it == tenants_.end()) co_return allow_missing ? absl::OkStatus() : NoSuchTenant(name);
  if (const int count = CountSandboxes(name); count > 0) {
    co_return MakeError(StatusCode::kFailedPrecondition,
                        StrCat("tenant '", name, "' has ", count, " sandboxes; remove them first"),
                        {.reason = "TENANT_IN_USE",
                         .constraint = "sandbox_count",
                         .needed = "0",
                         .available = StrCat(count)});
  }
  const Tenant tenant = it->second;
  tenants_.erase(it);
  const auto request =
      MakeRequest(call.request_id, "DeleteTenant", fingerprint, StrCat("tenants/", name));
  std::vector<Event> events;
  events.push_back(MakeEvent("tenant.removed", StrCat("tenants/", name), name,
                             StrCat("tenant ", name, " was removed"), call.actor));
  auto write = [name, request](store::Transaction& txn) -> Status {
    RETURN_IF_ERROR(txn.DeleteTenant(name));
    RETURN_IF_ERROR(txn.DeleteTenantUsage(name));
    return RecordRequest(txn, request);
  };
  const Status saved = co_await Commit(std::move(write), std::move(events));
  if (!saved.ok()) {
    tenants_[name] = tenant;
    co_return saved;
  }
  usage_.erase(name);
  RememberRequest(request);
  co_return absl::OkStatus();
}

}  // namespace claw::lifecycle
