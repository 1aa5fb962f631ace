#include <algorithm>

#include "agent/base/strings.h"
#include "agent/lifecycle/vm_drivers.h"

namespace claw::lifecycle {
namespace {

constexpr std::chrono::milliseconds kSoon = std::chrono::seconds(5);

Status Holding(const char* reason, std::string_view message, std::string needed,
               std::string available) {
  return MakeError(StatusCode::kUnavailable, message,
                   {.reason = reason,
                    .constraint = "vm.running",
                    .needed = std::move(needed),
                    .available = std::move(available),
                    .retry_after = kSoon});
}

Status Unsupported(const char* reason, const char* constraint, std::string_view message) {
  return MakeError(StatusCode::kFailedPrecondition, message,
                   {.reason = reason, .constraint = constraint, .available = "none in VMs"});
}

placement::Platform ToPlatform(const GuestPlatform& found, bool emulated) {
  placement::Platform platform{.architecture = found.architecture,
                               .page_size_bytes = found.page_size_bytes,
                               .emulated = emulated,
                               .node_class = NodeClass::kStandard};
  for (const GuestPlatform::Runtime& runtime : found.runtimes) {
    platform.runtimes.push_back({.driver = runtime.driver,
                                 .isolation = runtime.isolation,
                                 .problem = runtime.problem,
                                 .version = runtime.version,
                                 .platform = runtime.platform,
                                 .overhead_prior_bytes = runtime.overhead_prior_bytes});
  }
  return platform;
}

}  // namespace

Node::Vms::~Vms() = default;

Node::Vms::Drivers& Node::Vms::DriversOf(const std::string& name) const {
  std::unique_ptr<Drivers>& drivers = drivers_[name];
  if (drivers == nullptr) drivers = std::make_unique<Drivers>(name);
  return *drivers;
}

drivers::Driver* Node::Vms::DriverFor(const std::string& name, const std::string& driver) const {
  for (drivers::VmDriver* one : DriversOf(name).all()) {
    if (one->name() == driver) return one;
  }
  return nullptr;
}

placement::Occupancy& Node::Vms::HeldOn(const std::string& target) const {
  return targets_[target].held;
}

GuestPlatform Node::Vms::PlatformOf(const std::string& name) const {
  const auto it = machines_.find(name);
  return it == machines_.end() ? GuestPlatform{} : it->second->vm.platform;
}

std::vector<const placement::Target*> Node::Vms::Targets() const {
  std::vector<const placement::Target*> targets;
  for (const auto& [name, machine] : machines_) {
    placement::Target& target = targets_[kVmTargets + name];
    Describe(*machine, target);
    targets.push_back(&target);
  }
  return targets;
}

void Node::Vms::Describe(const Machine& machine, placement::Target& target) const {
  const Vm& vm = machine.vm;
  placement::Platform platform = ToPlatform(vm.platform, hypervisor_.emulated);
  if (target.platform == nullptr || !(*target.platform == platform)) {
    target.platform = std::make_shared<const placement::Platform>(std::move(platform));
  }
  target.name = kVmTargets + vm.spec.name;
  target.everywhere = &node_.everywhere_;
  target.labels = node_.config_.labels;
  target.taints = node_.config_.taints;
  target.cordoned.clear();
  if (vm.cordoned) target.cordoned = vm.cordon_reason.empty() ? "by hand" : vm.cordon_reason;
  if (node_.state_.cordoned) target.cordoned = "its host is cordoned";
  target.running = vm.state == VmState::kRunning;
  target.allocatable_bytes = vm.platform.allocatable_bytes;
  // It has all of its memory when it is switched on again.
  if (!HoldsMemory(vm.state) && target.allocatable_bytes > 0) {
    target.allocatable_bytes += vm.spec.memory_bytes - BalloonOf(vm);
  }
  target.burst = &node_.burst_;
  target.cpus = vm.platform.cpus;
  target.network_hold = Unsupported("NETWORK_UNSUPPORTED", "node.network",
                                    "sandboxes in VMs are not connected to a network");
  target.mount_hold =
      Unsupported("MOUNTS_UNSUPPORTED", "mounts", "folders of the host do not reach into a VM");
  target.holds.clear();
  const std::string state(ToString(vm.state));
  if (!target.running) {
    target.holds.push_back(
        Holding("VM_NOT_RUNNING", StrCat(target.name, " is ", state), "a VM that runs", state));
  } else if (!machine.guest || !machine.look) {
    target.holds.push_back(Holding("GUEST_UNREACHABLE",
                                   StrCat("the agent in ", target.name, " does not answer"),
                                   "a guest that answers", "none"));
  } else if (!machine.look->ready) {
    target.holds.push_back(Holding("GUEST_NOT_READY",
                                   StrCat(target.name, " is not ready: ", machine.look->problem),
                                   "a guest that is ready", machine.look->problem));
  }
}

}  // namespace claw::lifecycle
