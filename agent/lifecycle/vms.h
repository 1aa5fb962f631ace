#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/budget/balloon.h"
#include "agent/lifecycle/node.h"
#include "agent/lifecycle/vm_parts.h"
#include "agent/placement/target.h"

namespace claw::lifecycle {

// The host's virtual machines: the verbs on them, their records, and what they are charged. A part
// of the Node, and on its strand like all of it; what blocks runs on the pool. A `name` is that of
// the spec. NOT_FOUND, reason VM_NOT_FOUND; FAILED_PRECONDITION, reason VMS_DISABLED.
class Node::Vms {
 public:
  Vms(Node& node, VmDeps deps, VmRules rules);
  ~Vms();

  bool enabled() const { return deps_.machines != nullptr; }
  const VmRules& rules() const { return rules_; }
  // What can run VMs here, as far as it is known; the problem otherwise.
  const vm::HypervisorFacts& hypervisor() const { return hypervisor_; }
  const std::string& problem() const { return problem_; }
  // Sum over those that hold memory.
  int64_t ChargedBytes() const;

  // vms.cc
  // Connects to the hypervisor, unless that has been done.
  Task<Status> Connect();
  std::vector<VmView> List() const;  // by name
  StatusOr<VmView> Get(const std::string& name) const;
  Task<StatusOr<vm::GuestImageFacts>> CheckImage();
  StatusOr<std::filesystem::path> ConsolePath(const std::string& name) const;
  // Looks at each that runs: brings the views up to date.
  Task<void> Look();
  // vm_watch.cc: the same, and what follows from it: drained and idle ones are stopped, memory
  // moves. Done by itself every look_interval while any runs.
  Task<void> Tend();

  // vm_targets.cc: VMs as targets of placement, by name; brought up to date, until anything
  // changes.
  std::vector<const placement::Target*> Targets() const;
  // What sandboxes hold on a target, whether there is such a VM or not.
  placement::Occupancy& HeldOn(const std::string& target) const;
  GuestPlatform PlatformOf(const std::string& name) const;  // empty: nobody knows such a VM
  // Runs what is in this VM, whatever becomes of it. Null: no such driver. Lives as long as this.
  drivers::Driver* DriverFor(const std::string& name, const std::string& driver) const;

  // vm_pool.cc: if nothing takes this as things are, and a VM that does not run would: starts it.
  // What came of it placement finds by itself; a start that failed is in the VM's record.
  Task<void> MakeReady(Wanted wanted);
  // vm_use.cc: has an image tested by the agent in a guest, in one that is started if need be.
  // Answers when its agent answers again; what runs in it runs on.
  Task<StatusOr<Vm>> RestartAgent(Call call, std::string name, bool at_once);
  Task<StatusOr<CompatVerdict>> TestImage(CompatTestSpec spec, Image image,
                                          std::function<void(std::string)> progress);

  // vm_create.cc
  Task<StatusOr<Vm>> Create(Call call, VmSpec wanted, bool validate_only);
  // vm_start.cc: answers when the guest's agent does. `progress` is called on the strand.
  using Progress = std::function<void(std::string)>;
  Task<StatusOr<Vm>> Start(Call call, std::string name, Progress progress);
  // vm_stop.cc
  Task<StatusOr<Vm>> Stop(Call call, std::string name,
                          std::optional<std::chrono::milliseconds> grace, bool force);
  Task<StatusOr<Vm>> Suspend(Call call, std::string name);
  // vm_drain.cc: takes nothing new, and is stopped when nothing runs in it any more.
  Task<StatusOr<Vm>> Drain(Call call, std::string name, std::string reason);
  Task<StatusOr<Vm>> Cordon(Call call, std::string name, bool cordoned, std::string reason);
  // vm_remove.cc
  Task<Status> Delete(Call call, std::string name, bool force, bool allow_missing);

  // vm_balloon.cc
  // Something of this charge was refused for want of memory alone: guests that have some to spare
  // give it back. Answers when the host has that much room, or when it cannot be had soon.
  Task<void> MakeRoomFor(int64_t bytes);
  // The same of the ledger of this VM's guest, which was shrunk: it gets its memory back as far as
  // that helps and the host has it. Answers when the guest has it, or does not take it soon.
  Task<void> MakeRoomIn(std::string name, int64_t bytes);
  // Gives guests that are full or under pressure more, as far as the host has it.
  Task<void> GrowWhereNeeded();

  // vm_recover.cc: finds again what runs, and declares lost what does not; goes on behind the call.
  Task<void> Recover(std::vector<Vm> recorded);
  // The agent ends: nothing is begun any more. VMs run on.
  void Close();

 private:
  // How long a guest may take to show itself.
  static constexpr std::chrono::milliseconds kOneLook = std::chrono::seconds(5);

  struct Machine;
  using Ptr = std::shared_ptr<Machine>;

  StatusOr<Ptr> Find(const std::string& name) const;
  Status CheckEnabled() const;
  // What a verb on one VM begins with, as Node::BeginRequest. A VM: the request was made before,
  // and this has become of it.
  Task<StatusOr<std::optional<Vm>>> BeginRequest(Call call, std::string method, std::string name,
                                                 std::string fingerprint);
  // A changed record with an event about it; memory follows the disk.
  Task<Status> Save(Ptr machine, Vm changed, std::string event, std::string message,
                    std::string actor, store::RequestRecord request);
  Task<Status> Save(Ptr machine, Vm changed, std::string event, std::string message,
                    std::string actor = "agent");
  // What has happened, whether it can be recorded or not.
  Task<void> SaveReality(Ptr machine, Vm changed, std::string event, std::string message);
  VmView Show(const Machine& machine) const;

  // vm_targets.cc
  void Describe(const Machine& machine, placement::Target& target) const;
  struct Drivers;
  Drivers& DriversOf(const std::string& name) const;
  // vm_create.cc
  Task<Status> Add(Vm vm, std::string actor, store::RequestRecord request);
  // vm_pool.cc
  Ptr Startable(const placement::Demand& demand) const;  // null: none
  Task<Ptr> AddToPool(placement::Demand demand);
  Task<void> StopIfIdle(Ptr machine);
  // vm_use.cc
  BlockingPool& GuestPool() const;
  void TakeLook(Machine& machine, drivers::GuestLook look);
  // Its guest answers: what runs in it can be spoken to, and what is in no table is removed.
  Task<void> UseGuest(Ptr machine);
  Task<void> RemoveStrays(Ptr machine);
  // What it had is gone; who waits for the end of anything in it is told.
  void WentOff(Machine& machine, const std::string& why);
  void Discard(std::shared_ptr<drivers::Guest> guest);
  // One that runs programs for it, and answers.
  Task<StatusOr<Ptr>> MachineFor(std::string architecture);
  // vm_start.cc
  Status Admit(const Vm& vm) const;
  Task<Status> Boot(Ptr machine, const Progress& progress);
  Task<Status> AwaitGuest(Ptr machine, std::chrono::milliseconds at_most);
  Task<StatusOr<Vm>> Resume(Ptr machine, std::string actor, store::RequestRecord request);
  // vm_stop.cc
  Task<Status> SwitchOff(Ptr machine, std::chrono::milliseconds grace, bool force);
  // vm_watch.cc
  void OnEvent(const std::string& name, vm::MachineEvent event);
  void OnHypervisorLost();
  Task<void> Reconnect();
  Task<void> CheckAlive(Ptr machine);
  void BeginLooking();
  Task<void> LookWhileAnyRuns();
  Task<void> LookAt(Ptr machine);
  Task<void> FinishDrain(Ptr machine);
  // vm_balloon.cc
  void OnBalloon(const std::string& name);
  int64_t HostRoom() const;
  std::vector<budget::BalloonGuest> BalloonGuests() const;
  // With the machine's mutex held. Settle: what the guest has indeed, and what its hypervisor
  // takes, is what is charged from now on.
  Task<Status> MoveBalloon(Ptr machine, int64_t bytes, std::string why);
  Task<void> Settle(Ptr machine);
  Task<void> SettleUnlessBusy(Ptr machine);
  Task<void> SettleSoon(Ptr machine);
  Task<void> AwaitBalloons(int64_t bytes);
  Task<void> GiveUpShrinking();
  // vm_recover.cc
  Task<void> FindAgain();
  Task<void> RecoverOne(Ptr machine, const std::map<std::string, vm::MachineState>& found);
  Task<void> DeclareLost(Ptr machine, std::string why);

  Node& node_;
  VmDeps deps_;
  VmRules rules_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // for what comes from other threads
  std::map<std::string, Ptr> machines_;
  vm::HypervisorFacts hypervisor_;
  std::string image_digest_;  // of the guest image, as it was last read; empty: it was not
  std::string problem_ = "nobody has looked";
  mutable std::map<std::string, placement::Target> targets_;  // by name of the target
  mutable std::map<std::string, std::unique_ptr<Drivers>> drivers_;
  std::shared_ptr<AsyncMutex> pool_mutex_;  // held while one is started because it is needed
  std::shared_ptr<AsyncMutex> connect_mutex_;
  bool connected_ = false;
  bool recovered_ = false;  // it is known what has become of those that were recorded
  bool looking_ = false;
  bool reconnecting_ = false;
  bool closed_ = false;
  Notifier closing_;
  std::shared_ptr<AsyncMutex> balloon_mutex_;  // held while somebody's room is made
  std::shared_ptr<Notifier> balloon_moved_;    // a guest has given something back
};

// One VM with what lives in memory alone.
struct Node::Vms::Machine {
  Machine(Vm known, const asio::any_io_executor& executor)
      : vm(std::move(known)),
        mutex(std::make_shared<AsyncMutex>(executor)),
        changed(std::make_shared<Notifier>(executor)) {}

  Vm vm;
  std::shared_ptr<AsyncMutex> mutex;  // held by the verb that is under way
  std::shared_ptr<Notifier> changed;  // its state, or what the hypervisor says of it
  int64_t boots = 0;                  // by this agent
  bool off = false;                   // the hypervisor has said so since the last of them
  bool removed = false;
  std::shared_ptr<drivers::Guest> guest{};
  std::optional<drivers::GuestLook> look{};
  vm::MachineMemory memory{};
  std::chrono::steady_clock::time_point used_at{};  // when something was last in it
  int tests = 0;                                    // of images, under way in it
  std::optional<std::chrono::steady_clock::time_point> balloon_set{};  // by this agent
  bool settling = false;  // somebody is about to look where its balloon is
};

}  // namespace claw::lifecycle
