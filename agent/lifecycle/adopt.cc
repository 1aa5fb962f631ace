// What a host hands to the agent in its guest.

#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/node.h"
#include "agent/lifecycle/request_guard.h"

namespace claw::lifecycle {
namespace {

// Between the host's two calls. A host that dies in between leaves nothing for longer.
constexpr std::chrono::milliseconds kLease = std::chrono::minutes(10);

}  // namespace

// The guest decides with the host's records: they are in the place of what was here under the same
// names, and lowering the trust of a tenant ends here what it has to end there.
Task<StatusOr<Sandbox>> Node::Prepare(Call call, GuestOrder order) {
  co_await Uncancellable();
  const std::string id = order.wanted.id;
  if (Find(id) != nullptr) {
    co_return MakeError(StatusCode::kAlreadyExists, StrCat("there is a sandbox ", id, " already"),
                        {.reason = "ID_TAKEN", .constraint = "id", .outcome = Outcome::kRefused});
  }
  CO_RETURN_IF_ERROR(FindImage(order.wanted.image_digest).status());
  Tenant tenant = std::move(order.tenant);
  {
    const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(tenant_mutex_);
    const auto known = tenants_.find(tenant.name);
    const bool changed = known == tenants_.end() || !(known->second == tenant);
    for (CompatVerdict& verdict : order.verdicts) PutVerdict(verdict);
    if (order.compat_override) {
      overrides_[order.compat_override->image_digest] = *order.compat_override;
    } else {
      overrides_.erase(order.wanted.image_digest);
    }
    if (changed) tenants_[tenant.name] = tenant;
    auto write = [tenant, changed, verdicts = order.verdicts, given = order.compat_override,
                  digest = order.wanted.image_digest](store::Transaction& txn) -> Status {
      if (changed) RETURN_IF_ERROR(txn.PutTenant(tenant));
      for (const CompatVerdict& verdict : verdicts) RETURN_IF_ERROR(txn.PutVerdict(verdict));
      if (given) return txn.PutOverride(*given);
      return txn.DeleteOverride(digest);
    };
    CO_RETURN_IF_ERROR(co_await Commit(std::move(write)));
    if (changed) RevokeForbidden(call.actor);
  }
  order.wanted.ttl = kLease;
  std::vector<Wanted> wanted(1, std::move(order.wanted));
  CO_ASSIGN_OR_RETURN(const auto places,
                      co_await Reserve(std::move(call), std::move(wanted), true));
  co_return places.front();
}

}  // namespace claw::lifecycle
