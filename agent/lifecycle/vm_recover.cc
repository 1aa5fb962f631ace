#include <utility>

#include "agent/base/strings.h"
#include "agent/lifecycle/vm_drivers.h"

namespace claw::lifecycle {

Task<void> Node::Vms::Recover(std::vector<Vm> recorded) {
  for (Vm& vm : recorded) {
    const std::string name = vm.spec.name;
    machines_[name] = std::make_shared<Machine>(std::move(vm), node_.deps_.strand);
  }
  for (const auto& [target, held] : targets_) {
    const std::string name = target.substr(std::string_view(kVmTargets).size());
    if (machines_.count(name) > 0) continue;
    for (drivers::VmDriver* driver : DriversOf(name).all()) driver->SwitchedOff("it is not known");
  }
  if (machines_.empty()) co_return;  // nobody has wanted one yet: libvirt is not touched
  if (!enabled()) {
    co_await node_.Report("vm.unmanaged", "node",
                          "VMs are recorded, but the config no longer turns them on");
    co_return;
  }
  // libvirt takes its time. What is recorded is charged, so that nothing depends on it meanwhile.
  asio::co_spawn(node_.deps_.strand, FindAgain(), asio::detached);
}

Task<void> Node::Vms::FindAgain() {
  // Whoever wants to do something with one waits until it is known what has become of it.
  std::vector<std::pair<Ptr, AsyncMutex::Lock>> all;
  for (const auto& [name, machine] : machines_) {
    AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(machine->mutex);
    all.emplace_back(machine, std::move(lock));
  }
  vm::Machines& machines = *deps_.machines;
  const Status connected = co_await Connect();
  StatusOr<std::vector<vm::MachineState>> listed = Unavailable(ToStd(connected.message()));
  if (connected.ok()) {
    auto list = [&machines] { return machines.List(); };
    listed = co_await node_.deps_.pool.Run(std::move(list));
  }
  if (closed_) co_return;
  if (!listed.ok()) {
    // What is charged stays charged: nobody knows what runs.
    OnHypervisorLost();
    problem_ = ToStd(listed.status().message());
    co_return;
  }
  std::map<std::string, vm::MachineState> found;
  for (const vm::MachineState& state : *listed) found[state.name] = state;
  for (auto& [machine, lock] : all) {
    if (!machine->removed) co_await RecoverOne(machine, found);
    found.erase(machine->vm.spec.name);
  }
  recovered_ = true;
  for (const auto& [name, state] : found) {
    // Made by an agent that lost its store: nothing says what it is for, and its memory is charged
    // to nobody.
    auto remove = [&machines, orphan = name]() -> Status {
      RETURN_IF_ERROR(machines.PullPlug(orphan));
      return machines.Remove(orphan);
    };
    const Status removed = co_await node_.deps_.pool.Run(std::move(remove));
    co_await node_.Report("vm.orphan_removed", StrCat("vms/", name), ToLogString(removed));
  }
}

Task<void> Node::Vms::RecoverOne(Ptr machine,
                                 const std::map<std::string, vm::MachineState>& found) {
  const auto it = found.find(machine->vm.spec.name);
  const bool on = it != found.end() && it->second.on;
  const VmState was = machine->vm.state;
  if (!HoldsMemory(was)) {
    if (!on) {
      WentOff(*machine, machine->vm.failure.empty() ? "it was switched off" : machine->vm.failure);
      co_return;
    }
    // Switched off for the record, and not in fact: it may not hold memory that nobody charges.
    const Status off = co_await SwitchOff(machine, std::chrono::milliseconds(0), true);
    if (!off.ok() && problem_.empty()) problem_ = ToStd(off.message());
    co_return;
  }
  if (!on) {
    if (was == VmState::kStopping || was == VmState::kStarting) {
      WentOff(*machine, "it was switched off");
      Vm stopped = machine->vm;
      stopped.state = VmState::kStopped;
      co_await SaveReality(machine, std::move(stopped), "vm.stopped", "found switched off");
    } else {
      co_await DeclareLost(machine, "was off when the agent came back");
    }
    co_return;
  }
  if (was == VmState::kStopping || was == VmState::kStarting) {
    // It was never acknowledged as running, or was to end: it is taken back whole.
    const Status off = co_await SwitchOff(machine, std::chrono::milliseconds(0), true);
    if (!off.ok()) co_return;  // stays charged
    Vm stopped = machine->vm;
    stopped.state = VmState::kStopped;
    stopped.failure = was == VmState::kStarting ? "the agent was restarted during the start" : "";
    co_await SaveReality(machine, std::move(stopped), "vm.stopped",
                         "what an agent before this one had begun is ended");
    co_return;
  }
  Vm known = machine->vm;
  known.state = it->second.suspended ? VmState::kSuspended : VmState::kRunning;
  co_await SaveReality(machine, known, "vm.adopted", "found again");
  // What the guest has is what is charged for it; a move that was cut short is told again.
  co_await Settle(machine);
  if (known.state != VmState::kRunning) co_return;
  // The guest goes on without its host: it is reached when it answers.
  const Status reached = co_await AwaitGuest(machine, rules_.look_interval);
  if (!reached.ok()) {
    co_await node_.Report("vm.unreachable", StrCat("vms/", known.spec.name), ToLogString(reached));
  }
  BeginLooking();
}

}  // namespace claw::lifecycle
