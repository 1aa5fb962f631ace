// What happens to VMs by itself: the hypervisor tells of their ends, and guests are looked at while
// any runs.

#include <algorithm>

#include "agent/base/strings.h"
#include "agent/lifecycle/vms.h"

namespace claw::lifecycle {
namespace {

constexpr std::chrono::milliseconds kFirstPause = std::chrono::seconds(1);
constexpr std::chrono::milliseconds kLongestPause = std::chrono::minutes(1);

}  // namespace

void Node::Vms::OnEvent(const std::string& name, vm::MachineEvent event) {
  const auto it = machines_.find(name);
  if (it == machines_.end()) return;
  const Ptr machine = it->second;
  if (event != vm::MachineEvent::kOff) return;
  // It may be of the boot before this one: what is so now is asked by who acts on it.
  asio::co_spawn(node_.deps_.strand, CheckAlive(machine), asio::detached);
}

// One that ended without being told to is lost; who waits for the end of one learns of it.
Task<void> Node::Vms::CheckAlive(Ptr machine) {
  vm::Machines& machines = *deps_.machines;
  const std::string name = machine->vm.spec.name;
  for (int64_t boot = -1; boot != machine->boots;) {
    boot = machine->boots;
    auto list = [&machines] { return machines.List(); };
    const auto found = co_await node_.deps_.pool.Run(std::move(list));
    if (!found.ok() || closed_) co_return;
    const auto is_it = [&name](const vm::MachineState& state) {
      return state.name == name && state.on;
    };
    const bool on = std::any_of(found->begin(), found->end(), is_it);
    if (on) co_return;
    // Booted meanwhile: what was seen may be of the time before.
  }
  machine->off = true;
  machine->changed->NotifyAll();
  const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(machine->mutex);
  const bool unasked =
      machine->vm.state == VmState::kRunning || machine->vm.state == VmState::kSuspended;
  // While the mutex was waited for it may have been started again.
  if (machine->off && machine->vm.state == VmState::kStopping) {
    WentOff(*machine, "it was switched off");
    Vm stopped = machine->vm;
    stopped.state = VmState::kStopped;
    co_await SaveReality(machine, std::move(stopped), "vm.stopped", "found switched off");
  }
  if (machine->off && unasked) co_await DeclareLost(machine, "went off without being told to");
}

Task<void> Node::Vms::DeclareLost(Ptr machine, std::string why) {
  WentOff(*machine, why);
  Vm lost = machine->vm;
  lost.state = VmState::kLost;
  lost.failure = why;
  co_await SaveReality(machine, std::move(lost), "vm.lost", std::move(why));
}

void Node::Vms::OnHypervisorLost() {
  connected_ = false;
  problem_ = "the connection to the hypervisor has ended";
  if (reconnecting_ || closed_) return;
  reconnecting_ = true;
  asio::co_spawn(node_.deps_.strand, Reconnect(), asio::detached);
}

Task<void> Node::Vms::Reconnect() {
  co_await node_.Report("vm.hypervisor_lost", "node", problem_);
  for (auto pause = kFirstPause; !closed_; pause = std::min(2 * pause, kLongestPause)) {
    const Status connected = co_await Connect();
    if (connected.ok()) break;
    co_await node_.Sleep(pause);
  }
  reconnecting_ = false;
  if (closed_) co_return;
  co_await node_.Report("vm.hypervisor_back", "node", hypervisor_.version);
  if (!recovered_) {
    co_await FindAgain();
    co_return;
  }
  // What happened meanwhile was told to nobody.
  std::vector<Ptr> all;
  for (const auto& [name, machine] : machines_) all.push_back(machine);
  for (const Ptr& machine : all) co_await CheckAlive(machine);
}

void Node::Vms::BeginLooking() {
  if (looking_) return;
  looking_ = true;
  asio::co_spawn(node_.deps_.strand, LookWhileAnyRuns(), asio::detached);
}

Task<void> Node::Vms::LookWhileAnyRuns() {
  for (;;) {
    co_await node_.Sleep(rules_.look_interval);
    std::vector<Ptr> running;
    for (const auto& [name, machine] : machines_) {
      if (machine->vm.state == VmState::kRunning) running.push_back(machine);
    }
    if (running.empty() || closed_) break;
    co_await Tend();
  }
  looking_ = false;
}

Task<void> Node::Vms::Tend() {
  std::vector<Ptr> running;
  for (const auto& [name, machine] : machines_) {
    if (machine->vm.state == VmState::kRunning) running.push_back(machine);
  }
  for (const Ptr& machine : running) {
    co_await LookAt(machine);
    co_await SettleUnlessBusy(machine);
    co_await FinishDrain(machine);
    co_await StopIfIdle(machine);
  }
  co_await GrowWhereNeeded();
}

Task<void> Node::Vms::LookAt(Ptr machine) {
  const std::shared_ptr<drivers::Guest> guest = machine->guest;
  if (!guest) {
    // After a restart of this agent it did not answer; perhaps it does now.
    (co_await AwaitGuest(machine, std::chrono::milliseconds(0))).IgnoreError();
    co_return;
  }
  auto look = [guest] { return guest->Look(kOneLook); };
  StatusOr<drivers::GuestLook> seen = co_await GuestPool().Run(std::move(look));
  // It may have been switched off meanwhile.
  if (machine->guest != guest) co_return;
  machine->look.reset();
  if (seen.ok()) TakeLook(*machine, *std::move(seen));
  vm::Machines& machines = *deps_.machines;
  auto measure = [&machines, name = machine->vm.spec.name] { return machines.GetMemory(name); };
  const auto memory = co_await node_.deps_.pool.Run(std::move(measure));
  if (memory.ok() && machine->guest == guest) machine->memory = *memory;
}

}  // namespace claw::lifecycle
