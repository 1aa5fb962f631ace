#include "agent/lifecycle/vm_drivers.h"

#include <algorithm>

#include "agent/base/strings.h"
#include "agent/lifecycle/request_guard.h"

namespace claw::lifecycle {

Node::Vms::Vms(Node& node, VmDeps deps, VmRules rules)
    : node_(node),
      deps_(std::move(deps)),
      rules_(std::move(rules)),
      pool_mutex_(std::make_shared<AsyncMutex>(node.deps_.strand)),
      connect_mutex_(std::make_shared<AsyncMutex>(node.deps_.strand)),
      closing_(node.deps_.strand),
      balloon_mutex_(std::make_shared<AsyncMutex>(node.deps_.strand)),
      balloon_moved_(std::make_shared<Notifier>(node.deps_.strand)) {
  if (!enabled()) return;
  // Events come on threads of the hypervisor's, and may be on their way when this ends.
  const std::weak_ptr<bool> alive = alive_;
  const asio::any_io_executor strand = node.deps_.strand;
  deps_.machines->Listen(
      {.on_event =
           [this, alive, strand](const std::string& name, vm::MachineEvent event) {
             asio::post(strand, [this, alive, name, event] {
               if (!alive.expired()) OnEvent(name, event);
             });
           },
       .on_balloon =
           [this, alive, strand](const std::string& name, int64_t /*bytes*/) {
             asio::post(strand, [this, alive, name] {
               if (!alive.expired()) OnBalloon(name);
             });
           },
       .on_lost =
           [this, alive, strand] {
             asio::post(strand, [this, alive] {
               if (!alive.expired()) OnHypervisorLost();
             });
           }});
}

int64_t Node::Vms::ChargedBytes() const {
  int64_t sum = 0;
  for (const auto& [name, machine] : machines_) {
    sum = SaturatingAdd(sum, claw::ChargedBytes(machine->vm));
  }
  return sum;
}

Status Node::Vms::CheckEnabled() const {
  if (enabled()) return absl::OkStatus();
  return MakeError(StatusCode::kFailedPrecondition,
                   "VMs are not turned on: set vm.enabled = true in the config and restart clawlet",
                   {.reason = "VMS_DISABLED", .constraint = "vm.enabled"});
}

StatusOr<Node::Vms::Ptr> Node::Vms::Find(const std::string& name) const {
  const auto it = machines_.find(name);
  if (it != machines_.end()) return it->second;
  RETURN_IF_ERROR(CheckEnabled());
  return MakeError(StatusCode::kNotFound,
                   StrCat("there is no VM '", name, "'; `clawctl node vm ls` lists them"),
                   {.reason = "VM_NOT_FOUND", .constraint = "name", .outcome = Outcome::kRefused});
}

Task<StatusOr<std::optional<Vm>>> Node::Vms::BeginRequest(Call call, std::string method,
                                                          std::string name,
                                                          std::string fingerprint) {
  CO_RETURN_IF_ERROR(CheckEnabled());
  CO_RETURN_IF_ERROR(Find(name).status());
  CO_ASSIGN_OR_RETURN(const auto earlier,
                      co_await node_.BeginRequest(call, std::move(method), std::move(fingerprint)));
  std::optional<Vm> known;
  if (!earlier) co_return known;
  CO_ASSIGN_OR_RETURN(const Ptr machine, Find(name));
  known = machine->vm;
  co_return known;
}

VmView Node::Vms::Show(const Machine& machine) const {
  const bool other_image = !image_digest_.empty() && !machine.vm.image_digest.empty() &&
                           machine.vm.image_digest != image_digest_;
  return {.vm = machine.vm,
          .domain_type = hypervisor_.domain_type,
          .emulated = hypervisor_.emulated,
          .image_outdated = other_image,
          .guest = machine.look,
          .memory = machine.memory};
}

std::vector<VmView> Node::Vms::List() const {
  std::vector<VmView> all;
  for (const auto& [name, machine] : machines_) all.push_back(Show(*machine));
  return all;
}

StatusOr<VmView> Node::Vms::Get(const std::string& name) const {
  ASSIGN_OR_RETURN(const Ptr machine, Find(name));
  return Show(*machine);
}

StatusOr<std::filesystem::path> Node::Vms::ConsolePath(const std::string& name) const {
  RETURN_IF_ERROR(CheckEnabled());
  RETURN_IF_ERROR(Find(name).status());
  return deps_.machines->ConsolePath(name);
}

Task<StatusOr<vm::GuestImageFacts>> Node::Vms::CheckImage() {
  CO_RETURN_IF_ERROR(CheckEnabled());
  vm::Machines& machines = *deps_.machines;
  auto work = [&machines] { return machines.CheckImage(); };
  StatusOr<vm::GuestImageFacts> image = co_await node_.deps_.pool.Run(std::move(work));
  if (image.ok()) image_digest_ = image->digest;
  co_return image;
}

Task<Status> Node::Vms::Connect() {
  CO_RETURN_IF_ERROR(CheckEnabled());
  const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(connect_mutex_);
  if (connected_) co_return absl::OkStatus();
  vm::Machines& machines = *deps_.machines;
  auto work = [&machines] { return machines.Connect(); };
  StatusOr<vm::HypervisorFacts> facts = co_await node_.deps_.pool.Run(std::move(work));
  problem_ = facts.ok() ? "" : ToStd(facts.status().message());
  if (!facts.ok()) co_return facts.status();
  connected_ = true;
  hypervisor_ = *std::move(facts);
  co_return absl::OkStatus();
}

Task<Status> Node::Vms::Save(Ptr machine, Vm changed, std::string event, std::string message,
                             std::string actor, store::RequestRecord request) {
  CO_RETURN_IF_ERROR(CheckTransition(machine->vm.state, changed.state));
  std::vector<Event> events;
  events.push_back(node_.MakeEvent(std::move(event), StrCat("vms/", changed.spec.name), "",
                                   std::move(message), std::move(actor)));
  changed.revision = events.back().revision;
  auto write = [changed, request](store::Transaction& txn) -> Status {
    RETURN_IF_ERROR(txn.PutVm(changed));
    return RecordRequest(txn, request);
  };
  CO_RETURN_IF_ERROR(co_await node_.Commit(std::move(write), std::move(events)));
  node_.RememberRequest(request);
  machine->vm = std::move(changed);
  machine->changed->NotifyAll();
  co_return absl::OkStatus();
}

Task<Status> Node::Vms::Save(Ptr machine, Vm changed, std::string event, std::string message,
                             std::string actor) {
  store::RequestRecord nobodys;
  return Save(std::move(machine), std::move(changed), std::move(event), std::move(message),
              std::move(actor), std::move(nobodys));
}

Task<void> Node::Vms::SaveReality(Ptr machine, Vm changed, std::string event, std::string message) {
  // It is so whatever the disk says; what cannot be recorded now is found out again at a restart.
  machine->vm = changed;
  machine->changed->NotifyAll();
  const Status saved =
      co_await Save(machine, std::move(changed), std::move(event), std::move(message));
  if (!saved.ok() && problem_.empty()) problem_ = ToStd(saved.message());
}

Task<void> Node::Vms::Look() {
  co_await Uncancellable();  // what is seen is recorded
  std::vector<Ptr> running;
  for (const auto& [name, machine] : machines_) {
    if (machine->vm.state == VmState::kRunning) running.push_back(machine);
  }
  for (const Ptr& machine : running) {
    co_await LookAt(machine);
    co_await SettleUnlessBusy(machine);
  }
}

void Node::Vms::Close() {
  closed_ = true;
  closing_.NotifyAll();
  balloon_moved_->NotifyAll();
  for (const auto& [name, machine] : machines_) machine->changed->NotifyAll();
}

}  // namespace claw::lifecycle
