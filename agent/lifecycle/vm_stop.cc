#include "agent/base/strings.h"
#include "agent/lifecycle/request_guard.h"
#include "agent/lifecycle/vms.h"

namespace claw::lifecycle {
namespace {

Status InUse(const std::string& name, int64_t sandboxes) {
  return MakeError(
      StatusCode::kFailedPrecondition,
      StrCat(sandboxes, " sandboxes run in VM '", name, "'; drain it, or end them with --force"),
      {.reason = "VM_IN_USE",
       .constraint = "active_sandboxes",
       .needed = "0",
       .available = StrCat(sandboxes),
       .outcome = Outcome::kRefused});
}

}  // namespace

Task<StatusOr<Vm>> Node::Vms::Stop(Call call, std::string name,
                                   std::optional<std::chrono::milliseconds> grace, bool force) {
  co_await Uncancellable();
  const std::string fingerprint = StrCat(name, force ? " force" : "");
  CO_ASSIGN_OR_RETURN(const auto earlier, co_await BeginRequest(call, "StopVm", name, fingerprint));
  if (earlier) co_return *earlier;
  const RequestGuard guard([this, id = call.request_id] { node_.FinishRequest(id); });
  CO_ASSIGN_OR_RETURN(const Ptr machine, Find(name));
  const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(machine->mutex);
  if (!HoldsMemory(machine->vm.state)) co_return machine->vm;
  CO_RETURN_IF_ERROR(co_await Connect());
  if (machine->vm.state == VmState::kRunning) co_await LookAt(machine);
  const int64_t active = machine->look ? machine->look->active_sandboxes : 0;
  if (active > 0 && !force) co_return InUse(name, active);
  const bool suspended = machine->vm.state == VmState::kSuspended;
  Vm stopping = machine->vm;
  stopping.state = VmState::kStopping;
  CO_RETURN_IF_ERROR(
      co_await Save(machine, std::move(stopping), "vm.stopping", "is switched off", call.actor));
  // What stands still does not answer.
  auto patience = grace.value_or(rules_.stop_grace);
  if (suspended) patience = std::chrono::milliseconds(0);
  CO_RETURN_IF_ERROR(co_await SwitchOff(machine, patience, force));
  Vm stopped = machine->vm;
  stopped.state = VmState::kStopped;
  auto request = node_.MakeRequest(call.request_id, "StopVm", fingerprint, StrCat("vms/", name));
  CO_RETURN_IF_ERROR(co_await Save(machine, std::move(stopped), "vm.stopped", "is off", call.actor,
                                   std::move(request)));
  co_return machine->vm;
}

// Off when this answers OK.
Task<Status> Node::Vms::SwitchOff(Ptr machine, std::chrono::milliseconds grace, bool force) {
  vm::Machines& machines = *deps_.machines;
  const std::shared_ptr<drivers::Guest> guest = machine->guest;
  if (grace.count() > 0 && guest && !machine->off) {
    auto ask = [guest, force] { return guest->PowerOff(force); };
    const Status told = co_await GuestPool().Run(std::move(ask));
    if (told.code() == StatusCode::kFailedPrecondition) co_return told;
    // One that cannot be told may be on its way already.
    const Timeout timeout(node_.deps_.strand, grace, machine->changed);
    while (told.ok() && !machine->off && !timeout.expired()) co_await machine->changed->Wait();
  }
  auto pull = [&machines, name = machine->vm.spec.name] { return machines.PullPlug(name); };
  const Status off = co_await node_.deps_.pool.Run(std::move(pull));
  if (!off.ok()) co_return Annotate(off, StrCat("switch VM '", machine->vm.spec.name, "' off"));
  WentOff(*machine, "it was switched off");
  co_return absl::OkStatus();
}

Task<StatusOr<Vm>> Node::Vms::Suspend(Call call, std::string name) {
  co_await Uncancellable();
  CO_ASSIGN_OR_RETURN(const auto earlier, co_await BeginRequest(call, "SuspendVm", name, name));
  if (earlier) co_return *earlier;
  const RequestGuard guard([this, id = call.request_id] { node_.FinishRequest(id); });
  CO_ASSIGN_OR_RETURN(const Ptr machine, Find(name));
  const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(machine->mutex);
  if (machine->vm.state == VmState::kSuspended) co_return machine->vm;
  if (machine->vm.state != VmState::kRunning) {
    co_return MakeError(StatusCode::kFailedPrecondition,
                        StrCat("VM '", name, "' is ", ToString(machine->vm.state), ", not running"),
                        {.reason = "VM_NOT_RUNNING", .outcome = Outcome::kRefused});
  }
  CO_RETURN_IF_ERROR(co_await Connect());
  vm::Machines& machines = *deps_.machines;
  auto work = [&machines, name] { return machines.Suspend(name); };
  CO_RETURN_IF_ERROR(co_await node_.deps_.pool.Run(std::move(work)));
  Vm suspended = machine->vm;
  suspended.state = VmState::kSuspended;
  auto request = node_.MakeRequest(call.request_id, "SuspendVm", name, StrCat("vms/", name));
  CO_RETURN_IF_ERROR(co_await Save(machine, std::move(suspended), "vm.suspended",
                                   "stands still; its memory stays charged", call.actor,
                                   std::move(request)));
  machine->look.reset();
  co_return machine->vm;
}

}  // namespace claw::lifecycle
