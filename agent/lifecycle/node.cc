#include "agent/lifecycle/node.h"

#include <algorithm>

#include "agent/base/id.h"
#include "agent/base/strings.h"
#include "agent/lifecycle/compat.h"
#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/vms.h"

namespace claw::lifecycle {

Node::Node(NodeDeps deps, NodeConfig config)
    : deps_(std::move(deps)),
      config_(std::move(config)),
      started_at_(deps_.clock.Now()),
      incarnation_(RandomHex(16)),
      probe_mutex_(std::make_shared<AsyncMutex>(deps_.strand)),
      tenant_mutex_(std::make_shared<AsyncMutex>(deps_.strand)),
      state_mutex_(std::make_shared<AsyncMutex>(deps_.strand)),
      room_{.mutex = std::make_shared<AsyncMutex>(deps_.strand)},
      leases_{.timer = asio::steady_timer(deps_.strand)},
      image_mutex_(std::make_shared<AsyncMutex>(deps_.strand)),
      overheads_(config_.overhead),
      burst_(config_.burst),
      dial_(config_.dial),
      pressure_{.mutex = std::make_shared<AsyncMutex>(deps_.strand)},
      network_(deps_.networks, deps_.pool, deps_.strand),
      drained_(deps_.strand) {
  for (drivers::Driver* driver : deps_.drivers) {
    drivers_.push_back({.driver = driver});
    const std::string name(driver->name());
    const auto per_cpu = config_.starts_per_cpu.find(name);
    if (per_cpu == config_.starts_per_cpu.end()) continue;
    const int64_t at_once = std::max<int64_t>(1, per_cpu->second * deps_.host.cpus);
    start_gates_[name] = std::make_shared<StartGate>(deps_.strand, at_once, config_.start_queue);
  }
  ListenToNetwork();
  vms_ = std::make_unique<Vms>(*this, std::move(deps_.vms), config_.vms);
}

Node::~Node() = default;

std::shared_ptr<Node::Entry> Node::Find(const std::string& name) const {
  if (const auto it = sandboxes_.find(name); it != sandboxes_.end()) return it->second;
  const auto named = names_.find(name);
  if (named == names_.end()) return nullptr;
  const auto it = sandboxes_.find(named->second);
  return it == sandboxes_.end() ? nullptr : it->second;
}

StatusOr<std::shared_ptr<Node::Entry>> Node::FindOrError(const std::string& name) const {
  if (std::shared_ptr<Entry> entry = Find(name)) return entry;
  return MakeError(StatusCode::kNotFound, StrCat("there is no sandbox '", name, "'"),
                   {.reason = "SANDBOX_NOT_FOUND", .constraint = "name"});
}

const DriverState* Node::DriverOf(IsolationClass isolation) const {
  for (const DriverState& state : drivers_) {
    if (state.driver->isolation() == isolation) return &state;
  }
  return nullptr;
}

NodeCounts Node::counts() const {
  return {.active_sandboxes = everywhere_.active().sandboxes,
          .sandboxes = static_cast<int64_t>(sandboxes_.size()),
          .tenants = static_cast<int64_t>(tenants_.size()),
          .images = static_cast<int64_t>(images_.size())};
}

std::vector<std::string> Node::conditions() const {
  std::vector<std::string> problems;
  for (const DriverState& state : drivers_) {
    if (!state.fingerprint.healthy) {
      problems.push_back(StrCat("driver ", state.driver->name(), ": ", state.fingerprint.message));
    }
  }
  if (!memory_limit_.ok()) {
    problems.push_back(StrCat("takes no new work: ", ToStd(memory_limit_.message())));
  }
  if (dial_.band() >= PressureBand::kRefuse) {
    problems.push_back("takes no new work: the node is short of memory");
  }
  if (vms_->enabled() && !vms_->problem().empty() && !vms_->List().empty()) {
    problems.push_back(StrCat("VMs: ", vms_->problem()));
  }
  if (!network_.problem().empty()) problems.push_back(StrCat("network: ", network_.problem()));
  if (!store_problem_.empty()) problems.push_back(StrCat("store: ", store_problem_));
  if (config_.node_class == NodeClass::kHardened) {
    const std::string problem = HardeningProblem();
    if (!problem.empty()) problems.push_back(StrCat("takes no new legacy work: ", problem));
  }
  if (state_.cordoned) {
    problems.push_back(StrCat("takes no new work: cordoned by ", state_.cordoned_by,
                              state_.cordon_reason.empty() ? "" : ": ", state_.cordon_reason));
  }
  if (draining_) problems.push_back("the agent is shutting down");
  return problems;
}

}  // namespace claw::lifecycle
