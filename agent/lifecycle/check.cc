#include "agent/base/strings.h"
#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/node.h"
#include "agent/lifecycle/vms.h"

namespace claw::lifecycle {
namespace {

// The kernel tells nobody of a changed setting, so a hardened node looks; others are never woken.
constexpr auto kLookAgain = std::chrono::seconds(60);

}  // namespace

policy::NodeFacts Node::Facts() const {
  policy::NodeFacts facts;
  facts.node_class = config_.node_class;
  facts.machine = facts_;
  for (const DriverState& state : drivers_) {
    facts.drivers.push_back({.name = std::string(state.driver->name()),
                             .isolation = state.driver->isolation(),
                             .healthy = state.fingerprint.healthy,
                             .message = state.fingerprint.message,
                             .capabilities = state.fingerprint.capabilities});
  }
  for (const auto& [id, entry] : sandboxes_) {
    const Sandbox& record = entry->record;
    if (record.released) continue;
    facts.sandboxes.push_back({.id = id,
                               .tenant = record.spec.tenant,
                               .isolation = record.isolation,
                               .has_mounts = !record.spec.mounts.empty()});
  }
  facts.page_size_bytes = deps_.host.page_size_bytes;
  facts.store_problem = store_problem_;
  return facts;
}

std::string Node::HardeningProblem() const { return policy::HardeningProblem(Facts()); }

bool Node::hardened() const {
  return config_.node_class == NodeClass::kHardened && HardeningProblem().empty();
}

Task<void> Node::RefreshFacts() {
  StatusOr<MachineFacts> found = Internal("nothing on this node reads the machine's settings");
  if (deps_.read_facts) {
    auto work = deps_.read_facts;
    found = co_await deps_.pool.Run(std::move(work));
  }
  facts_ = std::move(found);
  if (config_.node_class != NodeClass::kHardened) co_return;
  const std::string problem = HardeningProblem();
  if (problem == hardening_said_) co_return;
  hardening_said_ = problem;
  std::string type = "node.hardening_regained";
  std::string text = "every check has passed: it takes legacy work";
  if (!problem.empty()) {
    type = "node.hardening_lost";
    text = StrCat("it takes no new legacy work: ", problem);
  }
  co_await Report(std::move(type), "node", std::move(text));
}

Task<void> Node::WatchHardening() {
  while (!draining_) {
    co_await Sleep(kLookAgain);
    co_await RefreshFacts();
  }
}

Task<std::vector<NodeCheck>> Node::CheckNode() {
  co_await RefreshDrivers();
  co_await RefreshFacts();
  // A write that changes nothing tells whether the store takes any.
  auto nothing = [](store::Transaction&) { return absl::OkStatus(); };
  (co_await Commit(std::move(nothing))).IgnoreError();
  std::optional<policy::VmFacts> vms;
  if (vms_->enabled()) {
    const Status connected = co_await vms_->Connect();
    const StatusOr<vm::GuestImageFacts> image = co_await vms_->CheckImage();
    vms.emplace();
    vms->hypervisor = StrCat(vms_->hypervisor().version, ", ", vms_->hypervisor().domain_type);
    vms->hypervisor_problem = ToStd(connected.message());
    vms->image = image.ok() ? StrCat(image->digest, ", clawlet ", image->agent_version) : "";
    vms->image_problem = ToStd(image.status().message());
  }
  policy::NodeFacts facts = Facts();
  facts.vms = std::move(vms);
  std::vector<NodeCheck> checks = policy::CheckNode(facts);
  for (NodeCheck& check : policy::CheckHardening(Facts())) checks.push_back(std::move(check));
  co_return checks;
}

}  // namespace claw::lifecycle
