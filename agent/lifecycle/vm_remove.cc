#include "agent/base/strings.h"
#include "agent/lifecycle/request_guard.h"
#include "agent/lifecycle/vms.h"

namespace claw::lifecycle {

Task<Status> Node::Vms::Delete(Call call, std::string name, bool force, bool allow_missing) {
  co_await Uncancellable();
  CO_RETURN_IF_ERROR(CheckEnabled());
  CO_ASSIGN_OR_RETURN(const auto earlier, co_await node_.BeginRequest(call, "DeleteVm", name));
  if (earlier) co_return absl::OkStatus();
  const RequestGuard guard([this, id = call.request_id] { node_.FinishRequest(id); });
  const StatusOr<Ptr> found = Find(name);
  if (!found.ok()) co_return allow_missing ? absl::OkStatus() : found.status();
  const Ptr machine = *found;
  const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(machine->mutex);
  if (machine->removed) co_return allow_missing ? absl::OkStatus() : Find(name).status();
  if (HoldsMemory(machine->vm.state) && !force) {
    co_return MakeError(
        StatusCode::kFailedPrecondition,
        StrCat("VM '", name, "' is ", ToString(machine->vm.state), "; stop it first, or --force"),
        {.reason = "VM_RUNNING", .outcome = Outcome::kRefused});
  }
  CO_RETURN_IF_ERROR(co_await Connect());
  CO_RETURN_IF_ERROR(co_await SwitchOff(machine, std::chrono::milliseconds(0), true));
  vm::Machines& machines = *deps_.machines;
  auto remove = [&machines, name] { return machines.Remove(name); };
  const Status gone = co_await node_.deps_.pool.Run(std::move(remove));
  if (!gone.ok()) {
    // It is off, and its record stays until all of it is gone.
    Vm lost = machine->vm;
    if (HoldsMemory(lost.state)) lost.state = VmState::kLost;
    lost.failure = ToStd(gone.message());
    std::string why = lost.failure;
    co_await SaveReality(machine, std::move(lost), "vm.not_removed", std::move(why));
    co_return Annotate(gone, StrCat("remove VM '", name, "'"));
  }
  const std::string subject = StrCat("vms/", name);
  auto request = node_.MakeRequest(call.request_id, "DeleteVm", name, subject);
  std::vector<Event> events;
  events.push_back(node_.MakeEvent("vm.removed", subject, "", "and its disk with it", call.actor));
  auto write = [name, request](store::Transaction& txn) -> Status {
    RETURN_IF_ERROR(txn.DeleteVm(name));
    return RecordRequest(txn, request);
  };
  CO_RETURN_IF_ERROR(co_await node_.Commit(std::move(write), std::move(events)));
  node_.RememberRequest(request);
  machine->removed = true;
  machines_.erase(name);
  co_return absl::OkStatus();
}

}  // namespace claw::lifecycle
