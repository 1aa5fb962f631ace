#include "agent/base/strings.h"
#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/node.h"
#include "agent/lifecycle/request_guard.h"

namespace claw::lifecycle {
namespace {

Status NoSuchTenant(const std::string& name) {
  return MakeError(StatusCode::kNotFound, StrCat("there is no tenant '", name, "'"),
                   {.reason = "TENANT_NOT_FOUND", .constraint = "tenant"});
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

Task<StatusOr<Tenant>> Node::CreateTenant(std::string request_id, std::string name, Trust trust) {
  co_await Uncancellable();
  CO_RETURN_IF_ERROR(ValidateName("tenant_id", name));
  const std::string fingerprint = ContentFingerprint(StrCat(name, " ", ToString(trust)));
  CO_ASSIGN_OR_RETURN(const auto earlier,
                      co_await BeginRequest(request_id, "CreateTenant", fingerprint));
  if (earlier) co_return GetTenant(name);
  const RequestGuard guard([this, request_id] { FinishRequest(request_id); });
  if (const auto it = tenants_.find(name); it != tenants_.end()) {
    if (it->second.trust == trust) co_return it->second;
    co_return MakeError(StatusCode::kAlreadyExists,
                        StrCat("tenant '", name, "' exists and is ", ToString(it->second.trust)),
                        {.reason = "TENANT_EXISTS",
                         .constraint = "trust",
                         .needed = std::string(ToString(trust)),
                         .available = std::string(ToString(it->second.trust))});
  }
  const Tenant tenant{.name = name, .trust = trust, .created_at = deps_.clock.Now()};
  // Taken at once, so that two calls at the same time cannot both make it.
  tenants_[name] = tenant;
  const auto request =
      MakeRequest(request_id, "CreateTenant", fingerprint, StrCat("tenants/", name));
  std::vector<Event> events;
  events.push_back(MakeEvent("tenant.created", StrCat("tenants/", name), name,
                             StrCat("tenant ", name, " is ", ToString(trust))));
  auto write = [tenant, request](store::Transaction& txn) -> Status {
    RETURN_IF_ERROR(txn.PutTenant(tenant));
    return RecordRequest(txn, request);
  };
  const Status saved = co_await Commit(std::move(write), std::move(events));
  if (!saved.ok()) {
    tenants_.erase(name);
    co_return saved;
  }
  RememberRequest(request);
  co_return tenant;
}

Task<Status> Node::DeleteTenant(std::string request_id, std::string name, bool allow_missing) {
  co_await Uncancellable();
  const std::string fingerprint = ContentFingerprint(name);
  CO_ASSIGN_OR_RETURN(const auto earlier,
                      co_await BeginRequest(request_id, "DeleteTenant", fingerprint));
  if (earlier) co_return absl::OkStatus();
  const RequestGuard guard([this, request_id] { FinishRequest(request_id); });
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
      MakeRequest(request_id, "DeleteTenant", fingerprint, StrCat("tenants/", name));
  std::vector<Event> events;
  events.push_back(MakeEvent("tenant.removed", StrCat("tenants/", name), name,
                             StrCat("tenant ", name, " was removed")));
  auto write = [name, request](store::Transaction& txn) -> Status {
    RETURN_IF_ERROR(txn.DeleteTenant(name));
    return RecordRequest(txn, request);
  };
  const Status saved = co_await Commit(std::move(write), std::move(events));
  if (!saved.ok()) {
    tenants_[name] = tenant;
    co_return saved;
  }
  RememberRequest(request);
  co_return absl::OkStatus();
}

}  // namespace claw::lifecycle
