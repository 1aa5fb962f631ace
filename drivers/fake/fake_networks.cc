#include "drivers/fake/fake_networks.h"

#include "agent/base/strings.h"

namespace claw::network {

void FakeNetworks::Listen(NetworkEvents events) {
  const std::lock_guard lock(mutex_);
  events_ = std::move(events);
}

NetworkHealth FakeNetworks::Probe() {
  const std::lock_guard lock(mutex_);
  ++probes_;
  NetworkHealth health{.healthy = true,
                       .cni_version = "fake",
                       .nft_version = "fake",
                       .addresses = addresses_,
                       .addresses_used = static_cast<int64_t>(attached_.size())};
  if (const Status failure = Failure("probe"); !failure.ok()) {
    health.healthy = false;
    health.message = ToStd(failure.message());
  }
  return health;
}

bool FakeNetworks::HasTraces() const {
  const std::lock_guard lock(mutex_);
  return !attached_.empty() || !prepared_.empty();
}

StatusOr<NetworkFiles> FakeNetworks::Prepare(const NetworkPlan& plan) {
  const std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(Failure("prepare"));
  prepared_[plan.id] = plan;
  return NetworkFiles{.hosts = StrCat("/fake/", plan.id, "/hosts"),
                      .resolv_conf = StrCat("/fake/", plan.id, "/resolv.conf")};
}

StatusOr<NetworkAttachment> FakeNetworks::Attach(const NetworkPlan& plan, int64_t /*pid*/) {
  const std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(Failure("attach"));
  if (prepared_.count(plan.id) == 0) return Internal("sandbox ", plan.id, " was not prepared");
  if (static_cast<int64_t>(attached_.size()) >= addresses_) {
    return MakeError(StatusCode::kResourceExhausted, "all addresses are taken",
                     {.reason = "ADDRESSES_EXHAUSTED",
                      .constraint = "node.network.addresses",
                      .needed = "1 address",
                      .available = "0 addresses",
                      .retry_after = std::chrono::seconds(1)});
  }
  attached_[plan.id] = plan;
  adopted_[plan.id] = true;
  const int64_t number = next_address_++;
  return NetworkAttachment{.ipv4 = StrCat("10.222.", number / 250, ".", number % 250),
                           .ipv6 = StrCat("fd22::", number),
                           .mac = "02:00:00:00:00:01",
                           .host_interface = StrCat("veth", plan.id.substr(0, 8)),
                           .bridge = "clawlet0"};
}

Status FakeNetworks::Adopt(const NetworkPlan& plan, const NetworkAttachment& attachment) {
  const std::lock_guard lock(mutex_);
  if (attached_.count(plan.id) == 0) return NotFound("sandbox ", plan.id, " is not attached");
  if (attachment.host_interface.empty()) return DataLoss("the attachment names no interface");
  attached_[plan.id] = plan;
  adopted_[plan.id] = true;
  return absl::OkStatus();
}

StatusOr<std::vector<std::string>> FakeNetworks::Reconcile() {
  const std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(Failure("reconcile"));
  std::vector<std::string> removed;
  for (const auto& [id, plan] : attached_) {
    if (!adopted_[id]) removed.push_back(id);
  }
  for (const auto& [id, plan] : prepared_) {
    if (attached_.count(id) == 0) removed.push_back(id);
  }
  for (const std::string& id : removed) {
    attached_.erase(id);
    prepared_.erase(id);
  }
  return removed;
}

Status FakeNetworks::Detach(const std::string& id) {
  const std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(Failure("detach"));
  attached_.erase(id);
  prepared_.erase(id);
  return absl::OkStatus();
}

Status FakeNetworks::Replace(const std::vector<NetworkPlan>& plans) {
  const std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(Failure("replace"));
  for (const NetworkPlan& plan : plans) {
    if (attached_.count(plan.id) == 0) return NotFound("sandbox ", plan.id, " is not attached");
  }
  for (const NetworkPlan& plan : plans) attached_[plan.id] = plan;
  return absl::OkStatus();
}

StatusOr<std::map<std::string, NetworkCounters>> FakeNetworks::Count() {
  const std::lock_guard lock(mutex_);
  std::map<std::string, NetworkCounters> counters;
  for (const auto& [id, plan] : attached_) {
    counters[id] = {.sent = {.packets = 3, .bytes = 300},
                    .egress_denied = {.packets = 1, .bytes = 60}};
  }
  return counters;
}

std::vector<ResolvedName> FakeNetworks::Names(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  std::vector<ResolvedName> names;
  const auto it = attached_.find(id);
  if (it == attached_.end()) return names;
  for (const NetworkPlan::Layer& layer : it->second.layers) {
    for (const NetworkRule& rule : layer.policy.egress) {
      if (rule.kind == PeerKind::kName)
        names.push_back({.name = rule.name, .addresses = {"192.0.2.1"}});
    }
  }
  return names;
}

void FakeNetworks::Fail(const std::string& call, Status why) {
  const std::lock_guard lock(mutex_);
  failures_[call] = std::move(why);
}

void FakeNetworks::SetAddresses(int64_t addresses) {
  const std::lock_guard lock(mutex_);
  addresses_ = addresses;
}

void FakeNetworks::ForgetAgent() {
  const std::lock_guard lock(mutex_);
  adopted_.clear();
  events_ = {};
}

std::map<std::string, NetworkPlan> FakeNetworks::attached() const {
  const std::lock_guard lock(mutex_);
  return attached_;
}

NetworkEvents FakeNetworks::events() const {
  const std::lock_guard lock(mutex_);
  return events_;
}

int FakeNetworks::probes() const {
  const std::lock_guard lock(mutex_);
  return probes_;
}

Status FakeNetworks::Failure(const std::string& call) const {
  const auto it = failures_.find(call);
  return it == failures_.end() ? absl::OkStatus() : it->second;
}

}  // namespace claw::network
