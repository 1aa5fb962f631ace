#include "agent/base/strings.h"
#include "agent/lifecycle/request_guard.h"
#include "agent/lifecycle/vms.h"

namespace claw::lifecycle {
namespace {

// Between two tries to reach an agent that is still coming up: nothing tells when it is there.
constexpr std::chrono::milliseconds kNextTry = std::chrono::milliseconds(250);

Status StartFailed(const std::string& name, const Status& why) {
  const std::string doing = StrCat("start VM '", name, "'");
  if (GetErrorDetail(why)) return Annotate(why, doing);
  return MakeError(StatusCode::kUnavailable, StrCat(doing, ": ", ToStd(why.message())),
                   {.reason = "VM_START_FAILED", .outcome = Outcome::kUndone});
}

// With all of its memory, and what QEMU was seen to take; that fades, so that what was seen once
// does not count for ever.
Vm SwitchedOn(Vm vm, int64_t overhead_guess_bytes) {
  vm.state = VmState::kStarting;
  vm.overhead_bytes = OverheadAtBoot(vm, overhead_guess_bytes);
  vm.measured_overhead_bytes -= vm.measured_overhead_bytes / 8;
  vm.balloon_bytes = 0;
  vm.high_water_bytes = 0;
  vm.failure.clear();
  return vm;
}

}  // namespace

Status Node::Vms::Admit(const Vm& vm) const {
  int64_t running = 0;
  for (const auto& [name, machine] : machines_) running += HoldsMemory(machine->vm.state) ? 1 : 0;
  if (rules_.most > 0 && running >= rules_.most) {
    return MakeError(StatusCode::kResourceExhausted,
                     StrCat("as many VMs run as the config allows (vm.most = ", rules_.most, ")"),
                     {.reason = "VM_LIMIT",
                      .constraint = "vm.most",
                      .needed = "1",
                      .available = "0",
                      .outcome = Outcome::kRefused});
  }
  // Guaranteed: a guest cannot be asked for its memory back at once.
  const Memory charge = budget::Charge(vm.spec.memory_bytes, vm.overhead_bytes);
  return WithOutcome(node_.Admit(charge), Outcome::kRefused);
}

Task<StatusOr<Vm>> Node::Vms::Start(Call call, std::string name, Progress progress) {
  co_await Uncancellable();
  CO_ASSIGN_OR_RETURN(const auto earlier, co_await BeginRequest(call, "StartVm", name, name));
  if (earlier) co_return *earlier;
  const RequestGuard guard([this, id = call.request_id] { node_.FinishRequest(id); });
  CO_ASSIGN_OR_RETURN(const Ptr machine, Find(name));
  const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(machine->mutex);
  if (machine->removed) co_return Find(name).status();
  auto request = node_.MakeRequest(call.request_id, "StartVm", name, StrCat("vms/", name));
  if (machine->vm.state == VmState::kRunning) co_return machine->vm;
  CO_RETURN_IF_ERROR(co_await Connect());
  if (machine->vm.state == VmState::kSuspended) {
    co_return co_await Resume(machine, call.actor, std::move(request));
  }
  co_await node_.LookAround();
  const Vm before = machine->vm;
  Vm starting = SwitchedOn(before, rules_.overhead_bytes);
  Status fits = Admit(starting);
  if (GetErrorDetail(fits).value_or(ErrorDetail{}).reason == "MEMORY_EXHAUSTED") {
    co_await MakeRoomFor(claw::ChargedBytes(starting));
    fits = Admit(starting);
  }
  // From here to the charge there is no co_await.
  CO_RETURN_IF_ERROR(fits);
  machine->vm = starting;
  Status status = co_await Save(machine, starting, "vm.starting", "is switched on", call.actor);
  if (!status.ok()) {
    machine->vm = before;
    co_return status;
  }
  status = co_await Boot(machine, progress);
  if (!status.ok()) {
    const Status off = co_await SwitchOff(machine, std::chrono::milliseconds(0), true);
    Vm failed = machine->vm;
    failed.state = VmState::kStopped;
    failed.failure = ToStd(status.message());
    if (!off.ok()) {
      // It may still be on, so it stays charged until somebody has seen that it is not.
      failed.state = VmState::kStopping;
      failed.failure += StrCat("; and it could not be switched off: ", ToStd(off.message()));
    }
    std::string why = failed.failure;
    co_await SaveReality(machine, std::move(failed), "vm.start_failed", std::move(why));
    co_return StartFailed(name, status);
  }
  Vm running = machine->vm;
  running.state = VmState::kRunning;
  running.started_at = node_.deps_.clock.Now();
  std::string text = "its agent answers";
  CO_RETURN_IF_ERROR(co_await Save(machine, std::move(running), "vm.running", std::move(text),
                                   call.actor, std::move(request)));
  BeginLooking();
  co_return machine->vm;
}

Task<Status> Node::Vms::Boot(Ptr machine, const Progress& progress) {
  const auto tell = [&progress](std::string what) {
    if (progress) progress(std::move(what));
  };
  tell(StrCat("checking the guest image and booting (", hypervisor_.domain_type, ")"));
  machine->look.reset();
  Discard(std::exchange(machine->guest, nullptr));
  vm::Machines& machines = *deps_.machines;
  auto boot = [&machines, vm = machine->vm] { return machines.Boot(vm); };
  const StatusOr<vm::Booted> booted = co_await node_.deps_.pool.Run(std::move(boot));
  if (!booted.ok()) co_return booted.status();
  machine->off = false;
  ++machine->boots;
  Vm changed = machine->vm;
  changed.port = booted->port;
  changed.image_digest = booted->image_digest;
  image_digest_ = booted->image_digest;
  changed.certificate_expires_at = booted->certificate_expires_at;
  CO_RETURN_IF_ERROR(co_await Save(machine, std::move(changed), "vm.booting",
                                   StrCat("with the guest image ", booted->image_digest)));
  tell("waiting for the guest's agent");
  co_return co_await AwaitGuest(machine, rules_.start_timeout);
}

Task<Status> Node::Vms::AwaitGuest(Ptr machine, std::chrono::milliseconds at_most) {
  vm::Machines& machines = *deps_.machines;
  auto work = [&machines, dial = deps_.dial, name = machine->vm.spec.name,
               port = machine->vm.port]() -> StatusOr<std::shared_ptr<drivers::Guest>> {
    ASSIGN_OR_RETURN(const GuestCredentials credentials, machines.ReadCredentials(name));
    return dial(port, credentials);
  };
  auto dialled = co_await node_.deps_.pool.Run(std::move(work));
  if (!dialled.ok()) co_return dialled.status();
  const std::shared_ptr<drivers::Guest> guest = *std::move(dialled);
  const auto end = std::chrono::steady_clock::now() + at_most;
  Status last = Unavailable("its agent has not answered");
  do {
    auto look = [guest] { return guest->Look(kOneLook); };
    const StatusOr<drivers::GuestLook> seen = co_await GuestPool().Run(std::move(look));
    last = seen.status();
    if (seen.ok()) {
      const Time now = node_.deps_.clock.Now();
      auto set = [guest, now] { return guest->SetClock(now); };
      const auto clock = co_await GuestPool().Run(std::move(set));
      if (!clock.ok()) co_return Annotate(clock.status(), "set the guest's clock");
      Discard(std::exchange(machine->guest, guest));
      TakeLook(*machine, *seen);
      co_await UseGuest(machine);
      co_return absl::OkStatus();
    }
    if (last.code() != StatusCode::kUnavailable && last.code() != StatusCode::kDeadlineExceeded) {
      co_return last;
    }
    co_await node_.Sleep(kNextTry);
  } while (!machine->off && !closed_ && std::chrono::steady_clock::now() < end);
  if (machine->off) {
    co_return Unavailable(
        "the guest went off before its agent answered; see `clawctl node vm "
        "console ",
        machine->vm.spec.name, "`");
  }
  co_return Annotate(last,
                     StrCat("the guest's agent did not answer in ", at_most.count() / 1000, " s"));
}

Task<StatusOr<Vm>> Node::Vms::Resume(Ptr machine, std::string actor, store::RequestRecord request) {
  vm::Machines& machines = *deps_.machines;
  auto work = [&machines, name = machine->vm.spec.name] { return machines.Resume(name); };
  CO_RETURN_IF_ERROR(co_await node_.deps_.pool.Run(std::move(work)));
  // Its clock has stood still: nothing may be asked of it before that is mended.
  CO_RETURN_IF_ERROR(co_await AwaitGuest(machine, rules_.start_timeout));
  Vm running = machine->vm;
  running.state = VmState::kRunning;
  CO_RETURN_IF_ERROR(co_await Save(machine, std::move(running), "vm.resumed",
                                   "goes on, and its clock is right", std::move(actor),
                                   std::move(request)));
  BeginLooking();
  co_return machine->vm;
}

}  // namespace claw::lifecycle
