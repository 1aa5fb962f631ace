#include "drivers/fake/fake_world.h"

#include <utility>

namespace claw::drivers {

std::string_view ToString(Step step) {
  switch (step) {
    case Step::kProbe:
      return "probe";
    case Step::kCreate:
      return "create";
    case Step::kStart:
      return "start";
    case Step::kKill:
      return "kill";
    case Step::kDestroy:
      return "destroy";
    case Step::kPurge:
      return "purge";
    case Step::kInspect:
      return "inspect";
    case Step::kStats:
      return "stats";
    case Step::kExec:
      return "exec";
    case Step::kReadSyscalls:
      return "read_syscalls";
  }
  return "unknown";
}

bool FakeGate::AwaitArrival(std::chrono::milliseconds timeout) {
  std::unique_lock lock(state_->mutex);
  return state_->changed.wait_for(lock, timeout, [this] { return state_->arrived; });
}

void FakeGate::Release() {
  const std::lock_guard lock(state_->mutex);
  state_->open = true;
  state_->changed.notify_all();
}

FakeWorld::FakeWorld(std::shared_ptr<const Clock> clock)
    : clock_(std::move(clock)),
      program_([](const std::shared_ptr<FakeProcess>&) { return absl::OkStatus(); }) {}

FakeWorld::~FakeWorld() {
  io_->Stop();
  // Handlers may hold their own process: ending it lets go of them. Nobody is told.
  for (const auto& [id, box] : boxes_) box->Destroy();
}

void FakeWorld::SetProgram(Program program) {
  const std::lock_guard lock(mutex_);
  program_ = std::move(program);
}

void FakeWorld::SetSyscalls(std::function<SyscallReport(const LaunchSpec&)> report) {
  const std::lock_guard lock(mutex_);
  syscalls_ = std::move(report);
}

void FakeWorld::SetSyscallLogBytes(int64_t bytes) {
  const std::lock_guard lock(mutex_);
  syscall_log_bytes_ = bytes;
}

SyscallReport FakeWorld::syscalls(const LaunchSpec& spec) const {
  std::function<SyscallReport(const LaunchSpec&)> report;
  {
    const std::lock_guard lock(mutex_);
    report = syscalls_;
  }
  return report ? report(spec) : SyscallReport{};
}

int64_t FakeWorld::syscall_log_bytes() const {
  const std::lock_guard lock(mutex_);
  return syscall_log_bytes_;
}

void FakeWorld::SetRuntimeVersion(std::string version) {
  const std::lock_guard lock(mutex_);
  runtime_version_ = std::move(version);
}

std::string FakeWorld::runtime_version() const {
  const std::lock_guard lock(mutex_);
  return runtime_version_;
}

Program FakeWorld::program() const {
  const std::lock_guard lock(mutex_);
  return program_;
}

void FakeWorld::Fail(Step step, Status error, int times, When when) {
  const std::lock_guard lock(mutex_);
  faults_[step].push_back({std::move(error), times, when});
}

void FakeWorld::Heal(Step step) {
  const std::lock_guard lock(mutex_);
  faults_.erase(step);
}

std::unique_ptr<FakeGate> FakeWorld::Block(Step step) {
  auto gate = std::make_unique<FakeGate>();
  const std::lock_guard lock(mutex_);
  gates_[step].push_back(gate->state_);
  return gate;
}

void FakeWorld::OnStep(Step step, std::function<void(const std::string&)> hook) {
  const std::lock_guard lock(mutex_);
  hooks_[step] = std::move(hook);
}

std::vector<std::string> FakeWorld::calls() const {
  const std::lock_guard lock(mutex_);
  return calls_;
}

Status FakeWorld::Enter(Step step, const std::string& id) {
  std::function<void(const std::string&)> hook;
  std::shared_ptr<FakeGate::State> gate;
  {
    const std::lock_guard lock(mutex_);
    calls_.push_back(StrCat(ToString(step), " ", id));
    if (const auto it = hooks_.find(step); it != hooks_.end()) hook = it->second;
    if (auto& waiting = gates_[step]; !waiting.empty()) {
      gate = std::move(waiting.front());
      waiting.erase(waiting.begin());
    }
  }
  if (hook) hook(id);
  if (gate) {
    std::unique_lock lock(gate->mutex);
    gate->arrived = true;
    gate->changed.notify_all();
    gate->changed.wait(lock, [&gate] { return gate->open; });
  }
  return TakeFault(step, When::kBefore);
}

Status FakeWorld::Leave(Step step) { return TakeFault(step, When::kAfter); }

Status FakeWorld::TakeFault(Step step, When when) {
  const std::lock_guard lock(mutex_);
  std::vector<Fault>& faults = faults_[step];
  for (auto it = faults.begin(); it != faults.end(); ++it) {
    if (it->when != when) continue;
    const Status error = it->error;
    if (it->times != kAlways && --it->times <= 0) faults.erase(it);
    return error;
  }
  return absl::OkStatus();
}

std::shared_ptr<FakeBox> FakeWorld::Find(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  const auto it = boxes_.find(id);
  return it == boxes_.end() ? nullptr : it->second;
}

StatusOr<std::shared_ptr<FakeBox>> FakeWorld::FindOrError(const std::string& id) const {
  auto box = Find(id);
  if (!box) return NotFound("there is no sandbox ", id);
  return box;
}

StatusOr<std::shared_ptr<FakeBox>> FakeWorld::Add(const std::string& driver,
                                                  const LaunchSpec& spec) {
  const std::lock_guard lock(mutex_);
  auto& box = boxes_[spec.id];
  if (box) return AlreadyExists("there is a sandbox ", spec.id, " already");
  const int64_t pid = next_pid_++;
  box =
      std::make_shared<FakeBox>(spec, DriverHandle{.driver = driver, .version = 1, .data = spec.id},
                                ProcessIdentity{.pid = pid,
                                                .start_ticks = static_cast<uint64_t>(pid) * 100,
                                                .boot_id = StrCat("boot-", boots_)},
                                clock_);
  return box;
}

void FakeWorld::Remove(const std::string& id) {
  std::shared_ptr<FakeBox> box;  // goes without the lock
  const std::lock_guard lock(mutex_);
  const auto it = boxes_.find(id);
  if (it == boxes_.end()) return;
  box = std::move(it->second);
  boxes_.erase(it);
}

Status FakeWorld::Exit(const std::string& id, int code, bool oom_killed,
                       int64_t memory_peak_bytes) {
  ASSIGN_OR_RETURN(const auto box, FindOrError(id));
  box->End(code, oom_killed, memory_peak_bytes);
  return absl::OkStatus();
}

Status FakeWorld::Vanish(const std::string& id) {
  ASSIGN_OR_RETURN(const auto box, FindOrError(id));
  box->End(std::nullopt, false, 0);
  return absl::OkStatus();
}

void FakeWorld::Reboot() {
  std::map<std::string, std::shared_ptr<FakeBox>> boxes;
  {
    const std::lock_guard lock(mutex_);
    ++boots_;
    boxes = boxes_;
  }
  for (const auto& [id, box] : boxes) box->End(std::nullopt, false, 0);
}

void FakeWorld::AddLitter(const std::string& driver, const std::string& id) {
  LaunchSpec nothing;
  nothing.id = id;
  const auto box = Add(driver, nothing);
  if (box.ok()) (*box)->End(std::nullopt, false, 0);
}

Status FakeWorld::SetMemoryUsage(const std::string& id, int64_t bytes) {
  ASSIGN_OR_RETURN(const auto box, FindOrError(id));
  box->SetMemoryUsage(bytes);
  return absl::OkStatus();
}

Status FakeWorld::HitLimit(const std::string& id) {
  ASSIGN_OR_RETURN(const auto box, FindOrError(id));
  box->HitLimit();
  return absl::OkStatus();
}

std::vector<std::string> FakeWorld::ids() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> all;
  for (const auto& [id, box] : boxes_) all.push_back(id);
  return all;
}

std::vector<std::string> FakeWorld::running() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> some;
  for (const auto& [id, box] : boxes_) {
    if (box->running()) some.push_back(id);
  }
  return some;
}

StatusOr<LaunchSpec> FakeWorld::spec(const std::string& id) const {
  ASSIGN_OR_RETURN(const auto box, FindOrError(id));
  return box->spec();
}

StatusOr<std::vector<int>> FakeWorld::signals(const std::string& id) const {
  ASSIGN_OR_RETURN(const auto box, FindOrError(id));
  return box->signals();
}

StatusOr<std::pair<int, int>> FakeWorld::terminal_size(const std::string& id) const {
  ASSIGN_OR_RETURN(const auto box, FindOrError(id));
  return box->terminal_size();
}

}  // namespace claw::drivers
