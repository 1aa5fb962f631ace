#include "agent/base/strings.h"
#include "agent/base/utf8.h"
#include "agent/lifecycle/request_guard.h"
#include "agent/lifecycle/vms.h"

namespace claw::lifecycle {
namespace {

constexpr std::string_view kDrained = "is drained";

}  // namespace

Task<StatusOr<Vm>> Node::Vms::Cordon(Call call, std::string name, bool cordoned,
                                     std::string reason) {
  co_await Uncancellable();
  if (!IsUtf8(reason) || reason.size() > kMaxCordonReasonBytes) {
    co_return InvalidArgument("a reason is UTF-8 of at most ", kMaxCordonReasonBytes, " bytes");
  }
  const std::string fingerprint =
      ContentFingerprint(StrCat(name, cordoned ? " cordon " : " uncordon ", reason));
  CO_ASSIGN_OR_RETURN(const auto earlier,
                      co_await BeginRequest(call, "CordonVm", name, fingerprint));
  if (earlier) co_return *earlier;
  const RequestGuard guard([this, id = call.request_id] { node_.FinishRequest(id); });
  CO_ASSIGN_OR_RETURN(const Ptr machine, Find(name));
  const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(machine->mutex);
  Vm changed = machine->vm;
  changed.cordoned = cordoned;
  changed.cordon_reason = cordoned ? reason : "";
  std::string event = "vm.uncordoned";
  if (cordoned) event = "vm.cordoned";
  auto request = node_.MakeRequest(call.request_id, "CordonVm", fingerprint, StrCat("vms/", name));
  CO_RETURN_IF_ERROR(co_await Save(machine, std::move(changed), std::move(event), std::move(reason),
                                   call.actor, std::move(request)));
  co_return machine->vm;
}

Task<StatusOr<Vm>> Node::Vms::Drain(Call call, std::string name, std::string reason) {
  const std::string why = reason.empty() ? std::string(kDrained) : StrCat(kDrained, ": ", reason);
  Call cordon = call;
  if (!call.request_id.empty()) cordon.request_id = StrCat(call.request_id, "/cordon");
  CO_RETURN_IF_ERROR((co_await Cordon(std::move(cordon), name, true, why)).status());
  CO_ASSIGN_OR_RETURN(const Ptr machine, Find(name));
  co_await FinishDrain(machine);
  co_return machine->vm;
}

// Of one that is drained: stops it once nothing runs in it.
Task<void> Node::Vms::FinishDrain(Ptr machine) {
  const Vm& vm = machine->vm;
  const bool drained = vm.cordoned && vm.cordon_reason.starts_with(kDrained);
  if (!drained || vm.state != VmState::kRunning) co_return;
  co_await LookAt(machine);
  if (!machine->look || machine->look->active_sandboxes > 0) co_return;
  Call own;
  // The guest has the last word: it refuses while something runs in it.
  (co_await Stop(std::move(own), vm.spec.name, std::nullopt, false)).status().IgnoreError();
}

}  // namespace claw::lifecycle
