// The way to what runs in VMs: found, lost, and gone with its VM.

#include <algorithm>

#include "agent/base/strings.h"
#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/request_guard.h"
#include "agent/lifecycle/vm_drivers.h"

namespace claw::lifecycle {
namespace {

GuestPlatform PlatformIn(const drivers::GuestLook& look) {
  return {.architecture = look.architecture,
          .page_size_bytes = look.page_size_bytes,
          .cpus = look.cpus,
          .allocatable_bytes = look.allocatable_bytes,
          .runtimes = look.runtimes};
}

}  // namespace

BlockingPool& Node::Vms::GuestPool() const {
  return node_.deps_.guest_pool == nullptr ? node_.deps_.pool : *node_.deps_.guest_pool;
}

void Node::Vms::TakeLook(Machine& machine, drivers::GuestLook look) {
  machine.vm.boot_id = look.boot_id;
  machine.vm.platform = PlatformIn(look);
  machine.look = std::move(look);
}

Task<void> Node::Vms::UseGuest(Ptr machine) {
  machine->used_at = std::chrono::steady_clock::now();
  Drivers* drivers = &DriversOf(machine->vm.spec.name);
  // It asks the guest about each sandbox that somebody waits for.
  auto use = [drivers, guest = machine->guest] {
    for (drivers::VmDriver* driver : drivers->all()) driver->Use(guest);
    return absl::OkStatus();
  };
  (co_await GuestPool().Run(std::move(use))).IgnoreError();
  co_await RemoveStrays(machine);
}

// What a host that died had begun in it, and what was on its disk when it went off.
Task<void> Node::Vms::RemoveStrays(Ptr machine) {
  const std::string target = kVmTargets + machine->vm.spec.name;
  for (drivers::VmDriver* driver : DriversOf(machine->vm.spec.name).all()) {
    auto list = [driver] { return driver->List(); };
    const auto ids = co_await GuestPool().Run(std::move(list));
    if (!ids.ok()) co_return;
    for (const std::string& id : *ids) {
      const auto it = node_.sandboxes_.find(id);
      const bool known = it != node_.sandboxes_.end() && it->second->record.target == target;
      // One that is over and was taken apart has its output there still.
      if (known && !(it->second->record.state == SandboxState::kLost)) continue;
      Sandbox stray;
      stray.id = id;
      stray.target = target;
      const Status gone = co_await node_.Erase(driver, std::move(stray), false);
      std::string told = StrCat("from ", target, ": nothing is recorded about it");
      if (!gone.ok()) told = ToLogString(gone);
      co_await node_.Report("sandbox.orphan_removed", StrCat("sandboxes/", id), std::move(told));
    }
  }
}

void Node::Vms::Discard(std::shared_ptr<drivers::Guest> guest) {
  if (guest == nullptr) return;
  // The end of the last reference waits for the guest's streams.
  auto end = [held = std::move(guest)]() mutable {
    held.reset();
    return absl::OkStatus();
  };
  BlockingPool& pool = GuestPool();
  asio::co_spawn(node_.deps_.strand, pool.Run(std::move(end)), asio::detached);
}

void Node::Vms::WentOff(Machine& machine, const std::string& why) {
  machine.off = true;
  machine.look.reset();
  machine.memory = {};
  Discard(std::exchange(machine.guest, nullptr));
  for (drivers::VmDriver* driver : DriversOf(machine.vm.spec.name).all()) driver->SwitchedOff(why);
}

Task<StatusOr<Vm>> Node::Vms::RestartAgent(Call call, std::string name, bool at_once) {
  co_await Uncancellable();
  const std::string fingerprint = StrCat(name, at_once ? " at once" : "");
  CO_ASSIGN_OR_RETURN(const auto earlier,
                      co_await BeginRequest(call, "RestartGuestAgent", name, fingerprint));
  if (earlier) co_return *earlier;
  const RequestGuard guard([this, id = call.request_id] { node_.FinishRequest(id); });
  CO_ASSIGN_OR_RETURN(const Ptr machine, Find(name));
  const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(machine->mutex);
  const std::shared_ptr<drivers::Guest> guest = machine->guest;
  if (machine->vm.state != VmState::kRunning || guest == nullptr) {
    co_return MakeError(StatusCode::kFailedPrecondition,
                        StrCat("VM '", name, "' is ", ToString(machine->vm.state),
                               guest == nullptr ? ", and its agent does not answer" : ""),
                        {.reason = "VM_NOT_RUNNING", .outcome = Outcome::kRefused});
  }
  auto tell = [guest, at_once] { return guest->RestartAgent(at_once); };
  CO_RETURN_IF_ERROR(co_await GuestPool().Run(std::move(tell)));
  machine->look.reset();
  CO_RETURN_IF_ERROR(co_await AwaitGuest(machine, rules_.start_timeout));
  auto request =
      node_.MakeRequest(call.request_id, "RestartGuestAgent", fingerprint, StrCat("vms/", name));
  Vm same = machine->vm;
  CO_RETURN_IF_ERROR(co_await Save(machine, std::move(same), "vm.agent_restarted",
                                   "its agent was told to end, and answers again", call.actor,
                                   std::move(request)));
  co_return machine->vm;
}

Task<StatusOr<CompatVerdict>> Node::Vms::TestImage(CompatTestSpec spec, Image image,
                                                   std::function<void(std::string)> progress) {
  std::string architecture = image.architecture;
  CO_ASSIGN_OR_RETURN(const Ptr machine, co_await MachineFor(std::move(architecture)));
  const std::shared_ptr<drivers::Guest> guest = machine->guest;
  ++machine->tests;
  const RequestGuard leave([machine] { --machine->tests; });
  // Lines come from the pool's thread.
  auto tell = [strand = node_.deps_.strand, progress = std::move(progress)](std::string line) {
    asio::post(strand, [progress, line = std::move(line)] { progress(line); });
  };
  drivers::GuestFacts facts;
  facts.image = image;
  auto work = [guest, spec = std::move(spec), facts = std::move(facts),
               rootfs = node_.deps_.images.RootfsPath(image.digest),
               tell = std::move(tell)] { return guest->TestImage(spec, facts, rootfs, tell); };
  co_return co_await GuestPool().Run(std::move(work));
}

Task<StatusOr<Node::Vms::Ptr>> Node::Vms::MachineFor(std::string architecture) {
  for (int attempt = 0; attempt < 2; ++attempt) {
    for (const auto& [name, machine] : machines_) {
      const Vm& vm = machine->vm;
      if (vm.state == VmState::kRunning && machine->guest && !vm.cordoned &&
          vm.platform.architecture == architecture) {
        machine->used_at = std::chrono::steady_clock::now();
        co_return machine;
      }
    }
    // Nothing is to be placed: whatever runs that architecture will do.
    placement::Demand demand;
    demand.images[architecture];
    const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(pool_mutex_);
    Ptr machine = Startable(demand);
    if (machine == nullptr) {
      machine = co_await AddToPool(std::move(demand));
    }
    if (machine == nullptr) break;
    Call own;
    std::string name = machine->vm.spec.name;
    Progress nobody;
    CO_RETURN_IF_ERROR(
        (co_await Start(std::move(own), std::move(name), std::move(nobody))).status());
  }
  co_return MakeError(StatusCode::kFailedPrecondition,
                      StrCat("nothing here runs programs for ", architecture,
                             ": no VM does, and none may be started"),
                      {.reason = "ARCHITECTURE_MISMATCH",
                       .constraint = "image.architecture",
                       .needed = architecture,
                       .available = node_.deps_.host.architecture});
}

}  // namespace claw::lifecycle
