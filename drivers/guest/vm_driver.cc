#include "drivers/guest/vm_driver.h"

#include <utility>

#include "agent/base/strings.h"

namespace claw::drivers {

VmDriver::VmDriver(std::string vm, IsolationClass isolation)
    : vm_(std::move(vm)), isolation_(isolation) {}

void VmDriver::Use(std::shared_ptr<Guest> guest) {
  std::map<std::string, Waiting> waiting;
  std::shared_ptr<Guest> before;  // ends outside of the lock: it may be telling of an end
  {
    const std::lock_guard lock(mutex_);
    before = std::exchange(guest_, guest);
    off_ = false;
    waiting = waiting_;
  }
  if (guest == nullptr) return;
  for (const auto& [id, one] : waiting) WaitThere(*guest, one.handle).IgnoreError();
}

void VmDriver::SwitchedOff(const std::string& why) {
  std::map<std::string, Waiting> waiting;
  std::shared_ptr<Guest> before;
  {
    const std::lock_guard lock(mutex_);
    before = std::exchange(guest_, nullptr);
    off_ = true;
    waiting = std::exchange(waiting_, {});
  }
  const ExitObservation seen{.exited_at = SystemClock().Now(),
                             .reason = EndReason::kHostRestart,
                             .failure = StrCat("VM '", vm_, "' went off under it: ", why)};
  for (const auto& [id, one] : waiting) one.on_exit(seen);
}

StatusOr<std::shared_ptr<Guest>> VmDriver::Reach() const {
  const std::lock_guard lock(mutex_);
  if (guest_ != nullptr) return guest_;
  return MakeError(StatusCode::kUnavailable,
                   off_ ? StrCat("VM '", vm_, "' is off")
                        : StrCat("the agent in VM '", vm_, "' does not answer"),
                   {.reason = off_ ? "VM_NOT_RUNNING" : "GUEST_UNREACHABLE",
                    .retry_after = std::chrono::seconds(2)});
}

bool VmDriver::IsOff() const {
  const std::lock_guard lock(mutex_);
  return off_;
}

void VmDriver::Tell(const std::string& id, const ExitObservation& seen) {
  std::function<void(ExitObservation)> on_exit;
  {
    const std::lock_guard lock(mutex_);
    const auto it = waiting_.find(id);
    if (it == waiting_.end()) return;
    on_exit = std::move(it->second.on_exit);
    waiting_.erase(it);
  }
  on_exit(seen);
}

Status VmDriver::WaitThere(Guest& guest, const DriverHandle& handle) {
  return Of(guest).Wait(handle,
                        [this, id = handle.data](const ExitObservation& seen) { Tell(id, seen); });
}

Status VmDriver::Wait(const DriverHandle& handle, std::function<void(ExitObservation)> on_exit) {
  std::shared_ptr<Guest> guest;
  {
    const std::lock_guard lock(mutex_);
    guest = guest_;
    if (!off_) waiting_[handle.data] = {handle, on_exit};
  }
  if (guest != nullptr) return WaitThere(*guest, handle);
  if (IsOff()) {
    on_exit({.exited_at = SystemClock().Now(), .failure = StrCat("VM '", vm_, "' is off")});
  }
  return absl::OkStatus();
}

Fingerprint VmDriver::Probe() {
  const auto guest = Reach();
  if (guest.ok()) return Of(**guest).Probe();
  Fingerprint found;
  found.message = ToStd(guest.status().message());
  return found;
}

StatusOr<Created> VmDriver::Create(const LaunchSpec& spec) {
  ASSIGN_OR_RETURN(const std::shared_ptr<Guest> guest, Reach());
  return Of(*guest).Create(spec);
}

StatusOr<std::string> VmDriver::Start(const DriverHandle& handle) {
  ASSIGN_OR_RETURN(const std::shared_ptr<Guest> guest, Reach());
  return Of(*guest).Start(handle);
}

Status VmDriver::Kill(const DriverHandle& handle, int signal) {
  if (IsOff()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::shared_ptr<Guest> guest, Reach());
  return Of(*guest).Kill(handle, signal);
}

Status VmDriver::Destroy(const std::string& id) {
  if (IsOff()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::shared_ptr<Guest> guest, Reach());
  {
    const std::lock_guard lock(mutex_);
    waiting_.erase(id);
  }
  return Of(*guest).Destroy(id);
}

Status VmDriver::Purge(const std::string& id) {
  if (IsOff()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::shared_ptr<Guest> guest, Reach());
  return Of(*guest).Purge(id);
}

StatusOr<Inspection> VmDriver::Inspect(const DriverHandle& handle) {
  if (IsOff()) return Inspection{};
  ASSIGN_OR_RETURN(const std::shared_ptr<Guest> guest, Reach());
  return Of(*guest).Inspect(handle);
}

StatusOr<Stats> VmDriver::GetStats(const DriverHandle& handle) {
  ASSIGN_OR_RETURN(const std::shared_ptr<Guest> guest, Reach());
  return Of(*guest).GetStats(handle);
}

StatusOr<std::vector<std::string>> VmDriver::List() {
  ASSIGN_OR_RETURN(const std::shared_ptr<Guest> guest, Reach());
  return Of(*guest).List();
}

StatusOr<Driver::Recovered> VmDriver::Recover(const std::string& id) {
  ASSIGN_OR_RETURN(const std::shared_ptr<Guest> guest, Reach());
  return Of(*guest).Recover(id);
}

StatusOr<SyscallReport> VmDriver::ReadSyscalls(const std::string& id) {
  ASSIGN_OR_RETURN(const std::shared_ptr<Guest> guest, Reach());
  return Of(*guest).ReadSyscalls(id);
}

StatusOr<std::unique_ptr<LogReader>> VmDriver::OpenLog(const DriverHandle& handle) {
  ASSIGN_OR_RETURN(const std::shared_ptr<Guest> guest, Reach());
  return Of(*guest).OpenLog(handle);
}

StatusOr<UniqueFd> VmDriver::OpenInput(const DriverHandle& handle) {
  ASSIGN_OR_RETURN(const std::shared_ptr<Guest> guest, Reach());
  return Of(*guest).OpenInput(handle);
}

Status VmDriver::ResizeTerminal(const DriverHandle& handle, int rows, int columns) {
  ASSIGN_OR_RETURN(const std::shared_ptr<Guest> guest, Reach());
  return Of(*guest).ResizeTerminal(handle, rows, columns);
}

StatusOr<std::unique_ptr<ExecSession>> VmDriver::Exec(const DriverHandle& handle,
                                                      const ExecSpec& spec) {
  ASSIGN_OR_RETURN(const std::shared_ptr<Guest> guest, Reach());
  return Of(*guest).Exec(handle, spec);
}

}  // namespace claw::drivers
