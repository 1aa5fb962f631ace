#include <algorithm>

#include "agent/base/strings.h"
#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/node.h"
#include "agent/lifecycle/request_guard.h"
#include "agent/model/json.h"
#include "agent/policy/network.h"

namespace claw::lifecycle {
namespace {

std::string PolicyFingerprint(const std::string& id, const std::optional<NetworkPolicy>& policy) {
  Sandbox sandbox;
  sandbox.id = id;
  sandbox.spec.network.policy = policy;
  return ContentFingerprint(ToJson(sandbox));
}

std::string Describe(const network::Denial& denial) {
  std::string peer = denial.peer;
  if (denial.port > 0) {
    peer = peer.find(':') != std::string::npos ? StrCat("[", peer, "]") : peer;
    peer += StrCat(":", denial.port);
  }
  const std::string more =
      denial.packets > 1 ? StrCat(", and ", denial.packets - 1, " more packets since the last time")
                         : std::string();
  return StrCat(denial.protocol, denial.egress ? " to " : " from ", peer, " was denied", more);
}

}  // namespace

std::vector<network::NetworkPlan::Layer> Node::NetworkLayers(const Tenant& tenant,
                                                             const NetworkSpec& spec) const {
  std::vector<network::NetworkPlan::Layer> layers;
  const auto named = network_policies_.find(tenant.network_policy);
  if (named != network_policies_.end()) {
    layers.push_back({.name = named->first, .policy = named->second.policy});
  } else {
    // Without a policy, or with one that is gone, a tenant may do nothing.
    layers.push_back({.name = {}, .policy = {}});
  }
  if (spec.policy) layers.push_back({.name = {}, .policy = *spec.policy});
  return layers;
}

network::NetworkPlan Node::NetworkPlanFor(const Sandbox& sandbox) const {
  network::NetworkPlan plan{
      .id = sandbox.id,
      .tenant = sandbox.spec.tenant,
      .hostname = sandbox.spec.display_name.empty() ? sandbox.id : sandbox.spec.display_name};
  const auto tenant = tenants_.find(sandbox.spec.tenant);
  const Tenant nobody{.name = sandbox.spec.tenant};
  plan.layers =
      NetworkLayers(tenant != tenants_.end() ? tenant->second : nobody, sandbox.spec.network);
  plan.ports = sandbox.spec.network.ports;
  return plan;
}

Task<StatusOr<NetworkAttachment>> Node::Connect(std::shared_ptr<Entry> entry, int64_t pid) {
  network::NetworkPlan plan = NetworkPlanFor(entry->record);
  CO_ASSIGN_OR_RETURN(const NetworkAttachment attachment,
                      co_await network_.Attach(std::move(plan), pid));
  // What was changed in the meantime did not find it attached.
  std::vector<network::NetworkPlan> now(1, NetworkPlanFor(entry->record));
  CO_RETURN_IF_ERROR(co_await network_.Replace(std::move(now)));
  co_return attachment;
}

Task<Status> Node::ReplaceRules(std::vector<std::shared_ptr<Entry>> entries) {
  std::vector<network::NetworkPlan> plans;
  for (const std::shared_ptr<Entry>& entry : entries) {
    if (network_.InForce(entry->record.id) != nullptr)
      plans.push_back(NetworkPlanFor(entry->record));
  }
  if (plans.empty()) co_return absl::OkStatus();
  co_return Annotate(co_await network_.Replace(std::move(plans)), "put the network rules in force");
}

Task<StatusOr<Sandbox>> Node::SetSandboxNetwork(Call call, std::string name,
                                                std::optional<NetworkPolicy> policy) {
  co_await Uncancellable();
  if (policy) CO_RETURN_IF_ERROR(ValidateNetworkPolicy(*policy, "policy"));
  CO_ASSIGN_OR_RETURN(const std::shared_ptr<Entry> entry, FindOrError(name));
  const std::string fingerprint = PolicyFingerprint(entry->record.id, policy);
  CO_ASSIGN_OR_RETURN(const auto earlier,
                      co_await BeginRequest(call, "SetSandboxNetwork", fingerprint));
  if (earlier) co_return GetSandbox(ResourceId(earlier->subject));
  const RequestGuard guard([this, id = call.request_id] { FinishRequest(id); });
  const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(entry->mutex);
  const Sandbox before = entry->record;
  if (before.network_mode == NetworkMode::kNone || IsTerminal(before.state) || entry->removed) {
    co_return MakeError(
        StatusCode::kFailedPrecondition,
        StrCat("sandbox ", before.id, " is ", ToString(before.state), " with network ",
               ToString(before.network_mode), "; only one that is connected has rules to replace"),
        {.reason = "NOT_CONNECTED", .constraint = "network.mode"});
  }
  Sandbox changed = before;
  changed.spec.network.policy = policy;
  const Tenant tenant = tenants_[before.spec.tenant];
  std::vector<NetworkPolicy> policies;
  for (network::NetworkPlan::Layer& layer : NetworkLayers(tenant, changed.spec.network)) {
    policies.push_back(std::move(layer.policy));
  }
  CO_RETURN_IF_ERROR(policy::CheckNetwork(changed.network_mode, changed.isolation, policies));
  // In force first; if it cannot be recorded, the old rules are put back.
  SetRecord(*entry, changed);
  std::vector<std::shared_ptr<Entry>> one(1, entry);
  const Status replaced = co_await ReplaceRules(one);
  if (!replaced.ok()) {
    SetRecord(*entry, before);
    co_return replaced;
  }
  const NetworkPolicy none;
  const std::string difference = policy::DescribeChange(before.spec.network.policy.value_or(none),
                                                        changed.spec.network.policy.value_or(none));
  const auto request = MakeRequest(call.request_id, "SetSandboxNetwork", fingerprint,
                                   StrCat("sandboxes/", before.id));
  Event event = MakeEvent("network.set", StrCat("sandboxes/", before.id), before.spec.tenant,
                          difference.empty() ? "nothing was changed" : difference, call.actor);
  Sandbox saved = entry->record;
  saved.revision = event.revision;
  std::vector<Event> events;
  events.push_back(std::move(event));
  auto write = [saved, request](store::Transaction& txn) -> Status {
    RETURN_IF_ERROR(txn.PutSandbox(saved));
    return RecordRequest(txn, request);
  };
  const Status written = co_await Commit(std::move(write), std::move(events));
  if (!written.ok()) {
    Sandbox restored = entry->record;
    restored.spec.network.policy = before.spec.network.policy;
    SetRecord(*entry, restored);
    (co_await ReplaceRules(one)).IgnoreError();
    co_return written;
  }
  RememberRequest(request);
  Sandbox now = entry->record;
  now.revision = std::max(now.revision, saved.revision);
  SetRecord(*entry, now);
  entry->changed.NotifyAll();
  co_return now;
}

Task<StatusOr<std::vector<NetworkView>>> Node::ShowNetworks(std::string name) {
  if (!name.empty()) CO_RETURN_IF_ERROR(FindOrError(name).status());
  CO_ASSIGN_OR_RETURN(NetworkKeeper::Counters counters, co_await network_.Count());
  std::vector<NetworkView> views;
  const auto show = [&](const Sandbox& record) {
    NetworkView view{.sandbox = record};
    if (const network::NetworkPlan* plan = network_.InForce(record.id)) view.layers = plan->layers;
    view.counters = counters[record.id];
    view.names = network_.Names(record.id);
    views.push_back(std::move(view));
  };
  if (!name.empty()) {
    CO_ASSIGN_OR_RETURN(const std::shared_ptr<Entry> entry, FindOrError(name));
    show(entry->record);
    co_return views;
  }
  for (const Sandbox& record : ListSandboxes()) {
    if (!IsTerminal(record.state)) show(record);
  }
  co_return views;
}

Task<void> Node::RecoverNetworks() {
  std::vector<NetworkKeeper::Attached> attached;
  for (const auto& [id, entry] : sandboxes_) {
    const Sandbox& record = entry->record;
    if (record.network_mode == NetworkMode::kNone || record.released) continue;
    if (record.network && IsRunning(record.state)) {
      attached.emplace_back(NetworkPlanFor(record), *record.network);
    }
  }
  if (deps_.networks == nullptr) {
    if (!attached.empty()) {
      co_await Report("network.unprotected", "node",
                      "sandboxes are connected, and the config turns networks off");
    }
    co_return;
  }
  // What nobody uses is not made for the sake of looking.
  auto look = [networks = deps_.networks]() -> StatusOr<bool> { return networks->HasTraces(); };
  const StatusOr<bool> traces = co_await deps_.pool.Run(std::move(look));
  if (attached.empty() && !traces.value_or(true)) co_return;
  const auto removed = co_await network_.Recover(std::move(attached));
  if (!removed.ok()) {
    network_.SetProblem(ToLogString(removed.status()));
    co_await Report("network.not_recovered", "node", ToLogString(removed.status()));
    co_return;
  }
  for (const std::string& id : *removed) {
    co_await Report("network.orphan_removed", StrCat("sandboxes/", id),
                    "its interface, address or rules were left behind");
  }
}

void Node::ListenToNetwork() {
  if (deps_.networks == nullptr) return;
  // They come from a thread of its own; the strand outlives both.
  const auto strand = deps_.strand;
  const auto tell = [this, strand](std::string type, std::string subject, std::string message) {
    asio::post(strand, [this, type = std::move(type), subject = std::move(subject),
                        message = std::move(message)]() mutable {
      asio::co_spawn(deps_.strand, Report(std::move(type), std::move(subject), std::move(message)),
                     asio::detached);
    });
  };
  network::NetworkEvents events;
  events.on_denied = [tell](const network::Denial& denial) {
    tell("network.denied", StrCat("sandboxes/", denial.id), Describe(denial));
  };
  events.on_repaired = [this, strand, tell](std::string how) {
    asio::post(strand, [this] { network_.SetProblem(""); });
    tell("network.repaired", "node", std::move(how));
  };
  events.on_unprotected = [this, strand, tell](std::string why, std::vector<std::string> ids) {
    asio::post(strand, [this, why] { network_.SetProblem(why); });
    tell("network.unprotected", "node",
         StrCat(why, "; sandboxes cut off until it is mended: ", Join(ids, ", ")));
  };
  events.on_resolved = [tell](const network::ResolvedName& name) {
    tell("network.resolved", "node",
         name.problem.empty() ? StrCat(name.name, " is ", Join(name.addresses, ", "))
                              : StrCat(name.name, ": ", name.problem));
  };
  deps_.networks->Listen(std::move(events));
}

}  // namespace claw::lifecycle
