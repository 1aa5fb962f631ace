#include "agent/lifecycle/network_keeper.h"

#include "agent/base/strings.h"

namespace claw::lifecycle {
namespace {

Status Unhealthy(std::string_view why) {
  return MakeError(StatusCode::kFailedPrecondition,
                   StrCat("this node cannot connect sandboxes: ", why),
                   {.reason = "NETWORK_UNAVAILABLE",
                    .constraint = "node.network",
                    .needed = "a node that can connect sandboxes",
                    .available = std::string(why)});
}

// A count that went back began anew.
void AddGrowth(const network::NetworkCounters& now, const network::NetworkCounters& before,
               network::NetworkCounters& total) {
  for (const auto count : network::kCounts) {
    const bool anew = (now.*count).packets < (before.*count).packets;
    (total.*count).packets += (now.*count).packets - (anew ? 0 : (before.*count).packets);
    (total.*count).bytes += (now.*count).bytes - (anew ? 0 : (before.*count).bytes);
  }
}

}  // namespace

NetworkKeeper::NetworkKeeper(network::Networks* networks, BlockingPool& pool,
                             const asio::any_io_executor& executor)
    : networks_(networks),
      pool_(pool),
      probe_mutex_(std::make_shared<AsyncMutex>(executor)),
      change_mutex_(std::make_shared<AsyncMutex>(executor)) {}

Status NetworkKeeper::hold() const {
  if (networks_ == nullptr) return Unhealthy("its config turns networks off");
  if (!problem_.empty()) return Unhealthy(problem_);
  if (looked_ && !health_.healthy) return Unhealthy(health_.message);
  return exhausted_;
}

Task<Status> NetworkKeeper::EnsureReady() {
  if (networks_ == nullptr || !problem_.empty()) co_return hold();
  const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(probe_mutex_);
  CO_RETURN_IF_ERROR(co_await Look());
  if (reconciled_) co_return absl::OkStatus();
  // Those that an earlier agent left were recovered at the start, or there were none: its tables
  // may be there all the same.
  auto reconcile = [networks = networks_] { return networks->Reconcile(); };
  CO_RETURN_IF_ERROR((co_await pool_.Run(std::move(reconcile))).status());
  reconciled_ = true;
  co_return absl::OkStatus();
}

Task<Status> NetworkKeeper::Look() {
  if (looked_ && health_.healthy) co_return absl::OkStatus();
  auto probe = [networks = networks_]() -> StatusOr<network::NetworkHealth> {
    return networks->Probe();
  };
  CO_ASSIGN_OR_RETURN(health_, co_await pool_.Run(std::move(probe)));
  looked_ = true;
  if (!health_.healthy) co_return Unhealthy(health_.message);
  co_return absl::OkStatus();
}

Task<StatusOr<std::vector<Mount>>> NetworkKeeper::Prepare(network::NetworkPlan plan) {
  CO_RETURN_IF_ERROR(co_await EnsureReady());
  auto work = [networks = networks_, plan = std::move(plan)] { return networks->Prepare(plan); };
  CO_ASSIGN_OR_RETURN(const network::NetworkFiles files, co_await pool_.Run(std::move(work)));
  std::vector<Mount> mounts;
  mounts.push_back({.source = files.hosts, .destination = "/etc/hosts"});
  mounts.push_back({.source = files.resolv_conf, .destination = "/etc/resolv.conf"});
  co_return mounts;
}

Task<StatusOr<NetworkAttachment>> NetworkKeeper::Attach(network::NetworkPlan plan, int64_t pid) {
  CO_RETURN_IF_ERROR(co_await EnsureReady());
  auto work = [networks = networks_, plan, pid] { return networks->Attach(plan, pid); };
  const StatusOr<NetworkAttachment> attached = co_await pool_.Run(std::move(work));
  const bool exhausted = attached.status().code() == StatusCode::kResourceExhausted;
  exhausted_ = exhausted ? attached.status() : absl::OkStatus();
  CO_RETURN_IF_ERROR(attached.status());
  const std::string id = plan.id;
  in_force_[id] = std::move(plan);
  co_return *attached;
}

Task<Status> NetworkKeeper::Detach(std::string id) {
  if (networks_ == nullptr) {
    co_return FailedPrecondition("sandbox ", id,
                                 " was connected, and the config now turns "
                                 "networks off: nothing can take its rules away");
  }
  const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(change_mutex_);
  auto work = [networks = networks_, id] { return networks->Detach(id); };
  CO_RETURN_IF_ERROR(co_await pool_.Run(std::move(work)));
  in_force_.erase(id);
  unsure_.erase(id);
  counted_.erase(id);
  exhausted_ = absl::OkStatus();
  co_return absl::OkStatus();
}

Task<Status> NetworkKeeper::Replace(std::vector<network::NetworkPlan> plans) {
  const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(change_mutex_);
  std::erase_if(plans, [this](const network::NetworkPlan& plan) {
    const network::NetworkPlan* now = InForce(plan.id);
    return now == nullptr || (*now == plan && unsure_.count(plan.id) == 0);
  });
  if (plans.empty()) co_return absl::OkStatus();
  auto work = [networks = networks_, plans] { return networks->Replace(plans); };
  const Status replaced = co_await pool_.Run(std::move(work));
  if (!replaced.ok()) {
    for (const network::NetworkPlan& plan : plans) unsure_.insert(plan.id);
    co_return replaced;
  }
  for (network::NetworkPlan& plan : plans) {
    const std::string id = plan.id;
    unsure_.erase(id);
    in_force_[id] = std::move(plan);
  }
  co_return absl::OkStatus();
}

Task<StatusOr<std::vector<std::string>>> NetworkKeeper::Recover(std::vector<Attached> attached) {
  if (networks_ == nullptr) co_return hold();
  const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(probe_mutex_);
  CO_RETURN_IF_ERROR(co_await Look());
  for (const auto& [plan, attachment] : attached) in_force_[plan.id] = plan;
  auto work = [networks = networks_,
               attached = std::move(attached)]() -> StatusOr<std::vector<std::string>> {
    for (const auto& [plan, attachment] : attached) {
      RETURN_IF_ERROR(networks->Adopt(plan, attachment));
    }
    return networks->Reconcile();
  };
  CO_ASSIGN_OR_RETURN(std::vector<std::string> removed, co_await pool_.Run(std::move(work)));
  reconciled_ = true;
  co_return removed;
}

Task<StatusOr<NetworkKeeper::Counters>> NetworkKeeper::Count() {
  if (in_force_.empty()) co_return Counters();
  auto work = [networks = networks_] { return networks->Count(); };
  co_return co_await pool_.Run(std::move(work));
}

Task<void> NetworkKeeper::Total() {
  const StatusOr<Counters> counters = co_await Count();
  if (!counters.ok()) co_return;  // they stand still
  for (const auto& [id, now] : *counters) {
    const network::NetworkPlan* plan = InForce(id);
    if (plan == nullptr) continue;
    AddGrowth(now, counted_[id], totals_[plan->tenant]);
    counted_[id] = now;
  }
}

const network::NetworkPlan* NetworkKeeper::InForce(const std::string& id) const {
  const auto it = in_force_.find(id);
  return it == in_force_.end() ? nullptr : &it->second;
}

std::vector<network::ResolvedName> NetworkKeeper::Names(const std::string& id) const {
  if (InForce(id) == nullptr) return {};
  return networks_->Names(id);
}

}  // namespace claw::lifecycle
