// VMs come when a sandbox needs one, and go when nothing does any more.

#include <algorithm>

#include "agent/base/strings.h"
#include "agent/lifecycle/plan.h"
#include "agent/lifecycle/vms.h"

namespace claw::lifecycle {
namespace {

// What a guest keeps back of its memory, roughly: its kernel, its agent, its reserves.
constexpr int64_t kGuestKeepsBytes = 256 * kMiB;
constexpr std::string_view kPoolName = "pool-";
// Of the idle time, for one whose guest keeps memory that nothing in it uses any more.
constexpr int kKeepersShare = 10;

// Of one that nobody has looked into yet: as others here, or else as this host, whose packages are
// those of its guests.
GuestPlatform Imagine(const VmSpec& spec, const GuestPlatform& other,
                      const std::vector<DriverState>& drivers) {
  GuestPlatform platform = other;
  platform.architecture = kGuestArchitecture;
  platform.cpus = spec.cpus;
  platform.allocatable_bytes = std::max<int64_t>(0, spec.memory_bytes - kGuestKeepsBytes);
  if (!platform.runtimes.empty()) return platform;
  for (const IsolationClass isolation : {IsolationClass::kContainer, IsolationClass::kGvisor}) {
    GuestPlatform::Runtime runtime;
    runtime.driver = drivers::DriverNameOf(isolation);
    runtime.isolation = isolation;
    for (const DriverState& state : drivers) {
      if (state.driver->isolation() != isolation) continue;
      runtime.version = state.fingerprint.runtime_version;
      runtime.platform = state.fingerprint.platform;
      runtime.overhead_prior_bytes = state.fingerprint.overhead_prior_bytes;
    }
    platform.runtimes.push_back(std::move(runtime));
  }
  return platform;
}

}  // namespace

Task<void> Node::Vms::MakeReady(Wanted wanted) {
  if (!enabled() || closed_) co_return;
  // Who comes meanwhile may find that it runs already.
  std::optional<AsyncMutex::Lock> lock;
  bool asked_guests = false;
  bool asked_host = false;
  for (;;) {
    const Status refusal = node_.MakePlan(wanted.spec, wanted.image_digest).status();
    if (refusal.ok()) co_return;
    const StatusOr<Tenant> tenant = node_.GetTenant(wanted.spec.tenant);
    const auto variants =
        node_.FindVariants(wanted.image_digest.empty() ? wanted.spec.image : wanted.image_digest);
    if (!tenant.ok() || !variants.ok() || node_.state_.cordoned) co_return;
    if (!node_.CheckName(wanted.spec).ok()) co_return;
    placement::Demand demand = node_.DemandFor(*tenant, *variants, wanted.spec);
    const bool is_full =
        GetErrorDetail(refusal).value_or(ErrorDetail{}).reason == "MEMORY_EXHAUSTED";
    if (is_full && !asked_guests && demand.images.count(node_.deps_.host.architecture) > 0) {
      asked_guests = true;
      const Memory charge =
          placement::Examiner(demand, node_.PlacementSettings()).MemoryOn(node_.Here().platform);
      co_await MakeRoomFor(claw::ChargedBytes(charge));
      continue;
    }
    if (demand.images.count(kGuestArchitecture) == 0 || !wanted.spec.mounts.empty() ||
        demand.network != NetworkMode::kNone) {
      co_return;
    }
    if (!lock) {
      const Status connected = co_await Connect();
      if (!connected.ok()) co_return;
      AsyncMutex::Lock held = co_await AsyncMutex::Acquire(pool_mutex_);
      lock.emplace(std::move(held));
      continue;
    }
    if (hypervisor_.emulated && !node_.config_.allow_emulated) co_return;
    if (!asked_host) {
      asked_host = true;
      std::string shrunk;
      int64_t charge = 0;
      {
        placement::Examiner examiner(demand, node_.PlacementSettings());
        for (const auto& [name, one] : machines_) {
          if (one->vm.state != VmState::kRunning || one->vm.balloon_bytes == 0) continue;
          placement::Target target;
          Describe(*one, target);
          target.held = HeldOn(target.name);
          target.allocatable_bytes += one->vm.spec.memory_bytes - BalloonOf(one->vm);
          if (!examiner.Ask(target).ok()) continue;
          shrunk = name;
          charge = claw::ChargedBytes(examiner.MemoryOn(target.platform));
          break;
        }
      }
      if (!shrunk.empty()) {
        co_await MakeRoomIn(std::move(shrunk), charge);
        continue;
      }
    }
    Ptr machine = Startable(demand);
    if (machine == nullptr) {
      machine = co_await AddToPool(std::move(demand));
    }
    if (machine == nullptr) co_return;
    Call own;
    own.actor = "placement";
    std::string name = machine->vm.spec.name;
    Progress nobody;
    // Its record says why it does not start, and the refusal that follows that it does not run.
    (co_await Start(std::move(own), std::move(name), std::move(nobody))).status().IgnoreError();
    co_return;
  }
}

// One that is off and would take it if it ran. Without a tenant whatever runs will do.
Node::Vms::Ptr Node::Vms::Startable(const placement::Demand& demand) const {
  GuestPlatform seen;
  for (const auto& [name, machine] : machines_) {
    if (!machine->vm.platform.architecture.empty()) seen = machine->vm.platform;
  }
  placement::Examiner examiner(demand, node_.PlacementSettings());
  for (const auto& [name, machine] : machines_) {
    if (HoldsMemory(machine->vm.state) || machine->vm.cordoned) continue;
    // Memory is made room for when it is started.
    const Status admitted = Admit(machine->vm);
    const ErrorDetail detail = GetErrorDetail(admitted).value_or(ErrorDetail{});
    if (!admitted.ok() && detail.reason != "MEMORY_EXHAUSTED") continue;
    if (demand.tenant.name.empty()) return machine;
    Machine running(machine->vm, node_.deps_.strand);
    running.vm.platform = Imagine(running.vm.spec, seen, node_.drivers_);
    placement::Target target;
    Describe(running, target);
    target.held = HeldOn(target.name);
    target.holds.clear();
    if (examiner.Ask(target).ok()) return machine;
  }
  return nullptr;
}

Task<Node::Vms::Ptr> Node::Vms::AddToPool(placement::Demand demand) {
  int64_t there = 0;
  GuestPlatform seen;
  for (const auto& [name, machine] : machines_) {
    there += machine->vm.on_demand ? 1 : 0;
    if (!machine->vm.platform.architecture.empty()) seen = machine->vm.platform;
  }
  Vm vm{.spec = rules_.defaults, .overhead_bytes = rules_.overhead_bytes, .on_demand = true};
  if (there >= rules_.pool || !Admit(vm).ok()) co_return nullptr;
  for (int number = 1; vm.spec.name.empty(); ++number) {
    std::string name = StrCat(kPoolName, number);
    if (machines_.count(name) == 0) vm.spec.name = std::move(name);
  }
  // What would be refused there, too, is not worth a VM.
  if (!demand.tenant.name.empty()) {
    Machine running(vm, node_.deps_.strand);
    running.vm.platform = Imagine(vm.spec, seen, node_.drivers_);
    placement::Target target;
    Describe(running, target);
    target.holds.clear();
    placement::Examiner examiner(demand, node_.PlacementSettings());
    if (!examiner.Ask(target).ok()) co_return nullptr;
  }
  std::string name = vm.spec.name;
  store::RequestRecord nobodys;
  const Status made = co_await Add(std::move(vm), "placement", std::move(nobodys));
  if (!made.ok()) co_return nullptr;
  co_return machines_.at(name);
}

Task<void> Node::Vms::StopIfIdle(Ptr machine) {
  const Vm& vm = machine->vm;
  const auto now = std::chrono::steady_clock::now();
  const bool empty = HeldOn(kVmTargets + vm.spec.name).charged_bytes() == 0 &&
                     machine->tests == 0 && machine->look && machine->look->active_sandboxes == 0;
  if (!empty) machine->used_at = now;
  if (!empty || !vm.on_demand || vm.state != VmState::kRunning) co_return;
  // One that keeps what it had is worth less than a new one, which is as quick to come.
  const int64_t resident = machine->memory.resident_bytes;
  const bool keeps = resident > SaturatingAdd(vm.overhead_bytes, vm.spec.memory_bytes / 2);
  const auto patience = keeps ? rules_.idle_time / kKeepersShare : rules_.idle_time;
  // One of an image that has been replaced is not waited for.
  if (!Show(*machine).image_outdated && now - machine->used_at < patience) co_return;
  Call own;
  // The guest has the last word: it refuses while something runs in it.
  (co_await Stop(std::move(own), vm.spec.name, std::nullopt, false)).status().IgnoreError();
}

}  // namespace claw::lifecycle
