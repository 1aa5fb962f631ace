#pragma once

#include <map>
#include <mutex>
#include <string>

#include "agent/base/strings.h"
#include "agent/lifecycle/vm_parts.h"
#include "drivers/fake/fake_driver.h"

namespace claw::test {

// Machines that are not there, and their guests. Outlives the agents that look at them.
// Thread-safe.
class FakeVms {
 public:
  struct Machine {
    bool on = false;
    bool suspended = false;
    int boots = 0;
    int64_t port = 0;
    int64_t balloon_bytes = 0;   // what the guest has
    int64_t balloon_target = 0;  // what it was told to have
    bool gives = true;           // has what it was told as soon as it was
    bool deaf = false;           // what it is told never reaches it
    int64_t overhead_bytes = 0;
    int64_t resident_bytes = 5;  // of the hypervisor's process
    // Of its guest.
    bool answers = true;
    int64_t reserved_bytes = 0;
    int64_t charged_bytes = 0;
    int64_t used_bytes = 0;
    std::string pressure = "calm";
    std::string agent_version = "9.9";
    int64_t active_sandboxes = 0;
    std::chrono::milliseconds clock_off{};
    // What runs in it, which is over when it goes off.
    std::shared_ptr<drivers::FakeWorld> inside = std::make_shared<drivers::FakeWorld>();
    CompatResult verdict = CompatResult::kCompatible;  // of whatever is tested there
    int agent_restarts = 0;
    int power_offs = 0;
    bool obeys = true;  // goes off when it is told to
  };

  bool turned_off = false;  // by the config of the agent's next life

  // What an agent's life has of them.
  lifecycle::VmDeps MakeDeps() {
    lifecycle::VmDeps deps;
    if (turned_off) return deps;
    deps.machines = std::make_unique<Machines>(*this);
    deps.dial =
        [this](int64_t port,
               const GuestCredentials& credentials) -> StatusOr<std::shared_ptr<drivers::Guest>> {
      if (credentials.key.empty()) return InvalidArgument("no key");
      return std::shared_ptr<drivers::Guest>(std::make_shared<Guest>(*this, port));
    };
    return deps;
  }

  // Does something with a machine, which is there from then on.
  template <typename Change>
  auto With(const std::string& name, Change change) {
    const std::lock_guard lock(mutex_);
    return change(machines_[name]);
  }
  bool Has(const std::string& name) {
    const std::lock_guard lock(mutex_);
    return machines_.count(name) > 0;
  }

  // A guest that did not has what it was told to have, and its hypervisor says so.
  void Give(const std::string& name) {
    vm::Machines::Listener listener;
    int64_t bytes = 0;
    {
      const std::lock_guard lock(mutex_);
      bytes = machines_[name].balloon_bytes = machines_[name].balloon_target;
      listener = listener_;
    }
    if (listener.on_balloon) listener.on_balloon(name, bytes);
  }
  // Called on a pool thread before a balloon is set.
  void BeforeBalloon(std::function<void()> hook) {
    const std::lock_guard lock(mutex_);
    before_balloon_ = std::move(hook);
  }

  // It goes off by itself, as when QEMU is killed. `told`: the hypervisor says so.
  void Crash(const std::string& name, bool told = true) {
    vm::Machines::Listener listener;
    {
      const std::lock_guard lock(mutex_);
      machines_[name].on = false;
      listener = listener_;
    }
    if (told && listener.on_event) listener.on_event(name, vm::MachineEvent::kOff);
  }
  // The connection to the hypervisor ends, and cannot be made again until Reach(absl::OkStatus()).
  void Lose() {
    Reach(MakeError(StatusCode::kUnavailable, "nobody answers",
                    {.reason = "HYPERVISOR_UNREACHABLE"}));
    vm::Machines::Listener listener;
    {
      const std::lock_guard lock(mutex_);
      listener = listener_;
    }
    if (listener.on_lost) listener.on_lost();
  }
  void Reach(Status status) {
    const std::lock_guard lock(mutex_);
    reachable_ = std::move(status);
  }
  void FailBoot(Status status) {
    const std::lock_guard lock(mutex_);
    boot_ = std::move(status);
  }
  void FailRemove(Status status) {
    const std::lock_guard lock(mutex_);
    remove_ = std::move(status);
  }
  void SetImage(std::string digest) {
    const std::lock_guard lock(mutex_);
    image_ = std::move(digest);
  }

 private:
  class Machines final : public vm::Machines {
   public:
    explicit Machines(FakeVms& world) : world_(world) {}
    ~Machines() override { Listen({}); }

    void Listen(Listener listener) override {
      const std::lock_guard lock(world_.mutex_);
      world_.listener_ = std::move(listener);
    }
    StatusOr<vm::HypervisorFacts> Connect() override {
      const std::lock_guard lock(world_.mutex_);
      RETURN_IF_ERROR(world_.reachable_);
      return vm::HypervisorFacts{.domain_type = "qemu", .emulated = true, .version = "fake"};
    }
    StatusOr<vm::GuestImageFacts> CheckImage() override {
      const std::lock_guard lock(world_.mutex_);
      return vm::GuestImageFacts{.folder = "/image", .digest = world_.image_, .size_bytes = 7};
    }
    StatusOr<vm::Booted> Boot(const Vm& vm) override {
      const std::lock_guard lock(world_.mutex_);
      RETURN_IF_ERROR(world_.reachable_);
      RETURN_IF_ERROR(world_.boot_);
      Machine& machine = world_.machines_[vm.spec.name];
      if (machine.on) return FailedPrecondition("it is on");
      machine.on = true;
      machine.inside->Reboot();
      machine.suspended = false;
      machine.balloon_bytes = machine.balloon_target = vm.spec.memory_bytes;
      machine.port = 2000 + ++world_.ports_;
      ++machine.boots;
      return vm::Booted{.port = machine.port,
                        .image_digest = world_.image_,
                        .certificate_expires_at = FromMicros(9'000'000'000'000'000)};
    }
    Status PullPlug(const std::string& name) override {
      return Change(name, [](Machine& machine) { machine.on = false; });
    }
    Status Suspend(const std::string& name) override {
      return Change(name, [](Machine& machine) { machine.suspended = true; });
    }
    Status Resume(const std::string& name) override {
      return Change(name, [](Machine& machine) { machine.suspended = false; });
    }
    Status Remove(const std::string& name) override {
      const std::lock_guard lock(world_.mutex_);
      RETURN_IF_ERROR(world_.remove_);
      world_.machines_.erase(name);
      return absl::OkStatus();
    }
    StatusOr<std::vector<vm::MachineState>> List() override {
      const std::lock_guard lock(world_.mutex_);
      RETURN_IF_ERROR(world_.reachable_);
      std::vector<vm::MachineState> states;
      for (const auto& [name, machine] : world_.machines_) {
        states.push_back({.name = name, .on = machine.on, .suspended = machine.suspended});
      }
      return states;
    }
    StatusOr<vm::MachineMemory> GetMemory(const std::string& name) override {
      const std::lock_guard lock(world_.mutex_);
      RETURN_IF_ERROR(world_.reachable_);
      const Machine& machine = world_.machines_[name];
      return vm::MachineMemory{.balloon_bytes = machine.balloon_bytes,
                               .resident_bytes = world_.machines_[name].resident_bytes,
                               .overhead_bytes = machine.overhead_bytes};
    }
    Status SetBalloon(const std::string& name, int64_t bytes) override {
      std::function<void()> hook;
      bool gives = false;
      {
        const std::lock_guard lock(world_.mutex_);
        RETURN_IF_ERROR(world_.reachable_);
        hook = world_.before_balloon_;
        Machine& machine = world_.machines_[name];
        if (machine.deaf) return absl::OkStatus();
        gives = machine.gives;
      }
      if (hook) hook();
      RETURN_IF_ERROR(Change(name, [bytes](Machine& machine) { machine.balloon_target = bytes; }));
      if (gives) world_.Give(name);
      return absl::OkStatus();
    }
    StatusOr<GuestCredentials> ReadCredentials(const std::string& /*name*/) override {
      return GuestCredentials{.authority = "a", .certificate = "c", .key = "k"};
    }
    std::filesystem::path ConsolePath(const std::string& name) const override {
      return std::filesystem::path("/nowhere") / name;
    }

   private:
    template <typename Do>
    Status Change(const std::string& name, Do change) {
      const std::lock_guard lock(world_.mutex_);
      RETURN_IF_ERROR(world_.reachable_);
      const auto it = world_.machines_.find(name);
      if (it != world_.machines_.end()) change(it->second);
      return absl::OkStatus();
    }

    FakeVms& world_;
  };

  class Guest final : public drivers::Guest {
   public:
    Guest(FakeVms& world, int64_t port)
        : world_(world),
          port_(port),
          inside_(world.InsideOf(port)),
          runc_("runc", IsolationClass::kContainer, inside_),
          gvisor_("gvisor", IsolationClass::kGvisor, inside_) {
      runc_.Probe();
      gvisor_.Probe();
    }

    StatusOr<drivers::GuestLook> Look(std::chrono::milliseconds /*at_most*/) override {
      const std::lock_guard lock(world_.mutex_);
      ASSIGN_OR_RETURN(const Machine* machine, Find());
      if (machine->agent_version != "9.9") {
        return MakeError(StatusCode::kFailedPrecondition, "another version",
                         {.reason = "GUEST_VERSION_MISMATCH"});
      }
      drivers::GuestLook look;
      look.agent_version = machine->agent_version;
      look.boot_id = StrCat("boot-", machine->boots);
      look.architecture = "arm64";
      look.pressure = machine->pressure;
      look.capacity_bytes = machine->balloon_bytes;
      look.allocatable_bytes = machine->balloon_bytes - machine->reserved_bytes;
      look.charged_bytes = machine->charged_bytes;
      look.memory_total_bytes = machine->balloon_bytes;
      look.memory_available_bytes = machine->balloon_bytes - machine->used_bytes;
      look.active_sandboxes =
          machine->active_sandboxes + static_cast<int64_t>(machine->inside->running().size());
      look.cpus = 2;
      look.page_size_bytes = 4096;
      look.runtimes = {
          {.driver = "runc", .isolation = IsolationClass::kContainer, .version = "1.0"},
          {.driver = "gvisor",
           .isolation = IsolationClass::kGvisor,
           .version = "1.0",
           .platform = "ptrace",
           .overhead_prior_bytes = 16 * kMiB}};
      look.ready = true;
      return look;
    }
    StatusOr<std::chrono::milliseconds> SetClock(Time /*now*/) override {
      const std::lock_guard lock(world_.mutex_);
      ASSIGN_OR_RETURN(Machine * machine, Find());
      return std::exchange(machine->clock_off, std::chrono::milliseconds(0));
    }
    Status PowerOff(bool force) override {
      const std::lock_guard lock(world_.mutex_);
      ASSIGN_OR_RETURN(Machine * machine, Find());
      ++machine->power_offs;
      if (machine->active_sandboxes + static_cast<int64_t>(machine->inside->running().size()) > 0 &&
          !force) {
        return MakeError(StatusCode::kFailedPrecondition, "in use", {.reason = "GUEST_IN_USE"});
      }
      if (machine->obeys) {
        machine->on = false;
        if (world_.listener_.on_event) {
          world_.listener_.on_event(NameOf(*machine), vm::MachineEvent::kOff);
        }
      }
      return absl::OkStatus();
    }

    Status RestartAgent(bool /*at_once*/) override {
      const std::lock_guard lock(world_.mutex_);
      ASSIGN_OR_RETURN(Machine * machine, Find());
      ++machine->agent_restarts;
      return absl::OkStatus();
    }

    drivers::Driver& DriverOf(IsolationClass isolation) override {
      return isolation == IsolationClass::kContainer ? runc_ : gvisor_;
    }
    StatusOr<CompatVerdict> TestImage(const CompatTestSpec& /*spec*/,
                                      const drivers::GuestFacts& facts,
                                      const std::filesystem::path& /*rootfs*/,
                                      const std::function<void(std::string)>& progress) override {
      const std::lock_guard lock(world_.mutex_);
      ASSIGN_OR_RETURN(const Machine* machine, Find());
      progress("in the guest");
      CompatVerdict verdict;
      verdict.image_digest = facts.image.digest;
      verdict.runtime_version = "1.0";
      verdict.platform = "ptrace";
      verdict.architecture = "arm64";
      verdict.result = machine->verdict;
      verdict.summary = "as the test says";
      return verdict;
    }

   private:
    StatusOr<Machine*> Find() {
      for (auto& [name, machine] : world_.machines_) {
        if (machine.port == port_ && machine.on && !machine.suspended && machine.answers) {
          return &machine;
        }
      }
      return MakeError(StatusCode::kUnavailable, "nobody answers", {.reason = "GUEST_UNREACHABLE"});
    }
    std::string NameOf(const Machine& wanted) {
      for (const auto& [name, machine] : world_.machines_) {
        if (&machine == &wanted) return name;
      }
      return "";
    }

    FakeVms& world_;
    const int64_t port_;
    const std::shared_ptr<drivers::FakeWorld> inside_;
    drivers::FakeDriver runc_;
    drivers::FakeDriver gvisor_;
  };

  std::shared_ptr<drivers::FakeWorld> InsideOf(int64_t port) {
    const std::lock_guard lock(mutex_);
    for (auto& [name, machine] : machines_) {
      if (machine.port == port) return machine.inside;
    }
    return std::make_shared<drivers::FakeWorld>();
  }

  std::mutex mutex_;
  std::map<std::string, Machine> machines_;
  vm::Machines::Listener listener_;
  Status reachable_;
  Status boot_;
  Status remove_;
  std::string image_ = "sha256:image-1";
  int64_t ports_ = 0;
  std::function<void()> before_balloon_;
};

}  // namespace claw::test
