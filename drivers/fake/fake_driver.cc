#include "drivers/fake/fake_driver.h"

#include <csignal>

#include "drivers/fake/fake_exec.h"

namespace claw::drivers {

FakeDriver::FakeDriver(std::string name, IsolationClass isolation, std::shared_ptr<FakeWorld> world)
    : name_(std::move(name)), isolation_(isolation), world_(std::move(world)) {}

Fingerprint FakeDriver::Probe() {
  const Status status = world_->Enter(Step::kProbe, name_);
  Fingerprint found{.healthy = status.ok(),
                    .message = std::string(ToStd(status.message())),
                    .runtime_path = StrCat("/fake/", name_),
                    .runtime_version = world_->runtime_version(),
                    .platform = isolation_ == IsolationClass::kGvisor ? "ptrace" : "",
                    .capabilities = {"exec", "stats", "oom"},
                    .overhead_prior_bytes = 64 * kMiB};
  if (isolation_ == IsolationClass::kLegacyHardened) {
    // As the real one claims them; there is nothing here to keep code from.
    found.capabilities.insert(found.capabilities.end(),
                              {"user-namespace", "seccomp", "no-capabilities", "no-network"});
  }
  const std::lock_guard lock(mutex_);
  fingerprint_ = found;
  return found;
}

bool FakeDriver::RuntimeChanged() const {
  const std::lock_guard lock(mutex_);
  return fingerprint_.runtime_version != world_->runtime_version();
}

StatusOr<Created> FakeDriver::Create(const LaunchSpec& spec) {
  RETURN_IF_ERROR(world_->Enter(Step::kCreate, spec.id));
  if (RuntimeChanged()) {
    return MakeError(StatusCode::kUnavailable, StrCat("the runtime of ", name_, " was replaced"),
                     {.reason = "RUNTIME_CHANGED", .constraint = StrCat("driver/", name_)});
  }
  {
    const std::lock_guard lock(mutex_);
    if (!fingerprint_.healthy) {
      return MakeError(StatusCode::kFailedPrecondition,
                       StrCat("driver ", name_, " cannot run sandboxes: ", fingerprint_.message),
                       {.reason = "RUNTIME_MISSING", .constraint = StrCat("driver/", name_)});
    }
  }
  if (spec.argv.empty()) return Internal("create sandbox ", spec.id, ": no argv");
  if (spec.trace_syscalls && isolation_ != IsolationClass::kGvisor) {
    return Unimplemented("driver ", name_, " cannot log system calls");
  }
  if (!spec.refused_calls.empty() && isolation_ == IsolationClass::kGvisor) {
    return Unimplemented("this runtime filters no system calls");
  }
  ASSIGN_OR_RETURN(const auto box, world_->Add(name_, spec));
  RETURN_IF_ERROR(world_->Leave(Step::kCreate));
  return Created{.handle = box->handle(), .process = box->identity()};
}

StatusOr<std::string> FakeDriver::Start(const DriverHandle& handle) {
  ASSIGN_OR_RETURN(const auto box, FindOrError(handle));
  const Status before = world_->Enter(Step::kStart, handle.data);
  // A proof that fails kills the sandbox, says the contract.
  const auto detail = GetErrorDetail(before);
  if (detail && detail->reason == "PROOF_FAILED") box->End(128 + SIGKILL, false, 0);
  RETURN_IF_ERROR(before);
  ASSIGN_OR_RETURN(std::string evidence, box->Start(world_->program(), ToString(isolation_)));
  RETURN_IF_ERROR(world_->Leave(Step::kStart));
  return evidence;
}

Status FakeDriver::Wait(const DriverHandle& handle, std::function<void(ExitObservation)> on_exit) {
  RETURN_IF_ERROR(CheckHandle(handle));
  if (const auto box = Find(handle.data)) {
    box->Wait(alive_, std::move(on_exit));
  } else {
    on_exit({.exit_code = std::nullopt,
             .oom_killed = false,
             .memory_peak_bytes = 0,
             .exited_at = world_->clock_->Now()});
  }
  return absl::OkStatus();
}

Status FakeDriver::Kill(const DriverHandle& handle, int signal) {
  RETURN_IF_ERROR(CheckHandle(handle));
  RETURN_IF_ERROR(world_->Enter(Step::kKill, handle.data));
  if (const auto box = Find(handle.data)) box->Signal(signal);
  return world_->Leave(Step::kKill);
}

Status FakeDriver::Destroy(const std::string& id) {
  RETURN_IF_ERROR(world_->Enter(Step::kDestroy, id));
  if (const auto box = Find(id)) {
    box->Destroy();
    if (box->litter()) world_->Remove(id);
  }
  return world_->Leave(Step::kDestroy);
}

Status FakeDriver::Purge(const std::string& id) {
  RETURN_IF_ERROR(world_->Enter(Step::kPurge, id));
  if (Find(id)) world_->Remove(id);
  return world_->Leave(Step::kPurge);
}

StatusOr<Inspection> FakeDriver::Inspect(const DriverHandle& handle) {
  RETURN_IF_ERROR(CheckHandle(handle));
  RETURN_IF_ERROR(world_->Enter(Step::kInspect, handle.data));
  const auto box = Find(handle.data);
  return box ? box->Inspect() : Inspection{};
}

StatusOr<Stats> FakeDriver::GetStats(const DriverHandle& handle) {
  RETURN_IF_ERROR(world_->Enter(Step::kStats, handle.data));
  ASSIGN_OR_RETURN(const auto box, FindOrError(handle));
  return box->GetStats();
}

StatusOr<std::vector<std::string>> FakeDriver::List() {
  std::vector<std::string> mine;
  for (const std::string& id : world_->ids()) {
    if (Find(id)) mine.push_back(id);
  }
  return mine;
}

StatusOr<Driver::Recovered> FakeDriver::Recover(const std::string& id) {
  const auto box = Find(id);
  if (!box || box->litter()) return NotFound("no record is kept of sandbox ", id);
  return Recovered{
      .record_json = box->spec().record_json, .handle = box->handle(), .process = box->identity()};
}

StatusOr<SyscallReport> FakeDriver::ReadSyscalls(const std::string& id) {
  RETURN_IF_ERROR(world_->Enter(Step::kReadSyscalls, id));
  const auto box = Find(id);
  if (!box || !box->spec().trace_syscalls) {
    return FailedPrecondition("driver ", name_, " has logged no system calls of sandbox ", id);
  }
  return world_->syscalls(box->spec());
}

int64_t FakeDriver::SyscallLogBytes(const std::string& id) const {
  const auto box = Find(id);
  return box && box->spec().trace_syscalls ? world_->syscall_log_bytes() : 0;
}

StatusOr<std::unique_ptr<LogReader>> FakeDriver::OpenLog(const DriverHandle& handle) {
  ASSIGN_OR_RETURN(const auto box, FindOrError(handle));
  return box->OpenLog();
}

StatusOr<UniqueFd> FakeDriver::OpenInput(const DriverHandle& handle) {
  ASSIGN_OR_RETURN(const auto box, FindOrError(handle));
  if (!box->spec().stdin_open) return FailedPrecondition("the input of ", handle.data, " is shut");
  if (!box->running()) return FailedPrecondition("sandbox ", handle.data, " does not run");
  auto [ours, theirs] = MakeSocketPair();
  world_->io_->AddReader(std::move(theirs), [weak = std::weak_ptr(box)](std::string_view data) {
    if (const auto reader = weak.lock()) reader->Input(data);
  });
  return std::move(ours);
}

Status FakeDriver::ResizeTerminal(const DriverHandle& handle, int rows, int columns) {
  ASSIGN_OR_RETURN(const auto box, FindOrError(handle));
  return box->Resize(rows, columns);
}

StatusOr<std::unique_ptr<ExecSession>> FakeDriver::Exec(const DriverHandle& handle,
                                                        const ExecSpec& spec) {
  RETURN_IF_ERROR(world_->Enter(Step::kExec, handle.data));
  ASSIGN_OR_RETURN(const auto box, FindOrError(handle));
  return StartFakeExec(*box, spec, world_->program(), world_->io_);
}

Status FakeDriver::CheckHandle(const DriverHandle& handle) const {
  if (handle.driver == name_ && handle.version == 1) return absl::OkStatus();
  return DataLoss("a handle of driver '", handle.driver, "' version ", handle.version,
                  " is not one of ", name_, "'s");
}

std::shared_ptr<FakeBox> FakeDriver::Find(const std::string& id) const {
  auto box = world_->Find(id);
  return box && box->handle().driver == name_ ? box : nullptr;
}

StatusOr<std::shared_ptr<FakeBox>> FakeDriver::FindOrError(const DriverHandle& handle) const {
  RETURN_IF_ERROR(CheckHandle(handle));
  auto box = Find(handle.data);
  if (!box) return NotFound("there is no sandbox ", handle.data);
  return box;
}

}  // namespace claw::drivers
