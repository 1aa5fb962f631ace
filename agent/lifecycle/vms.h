#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/lifecycle/node.h"
#include "agent/lifecycle/vm_parts.h"

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
  std::vector<VmView> List() const;  // by name
  StatusOr<VmView> Get(const std::string& name) const;
  Task<StatusOr<vm::GuestImageFacts>> CheckImage();
  StatusOr<std::filesystem::path> ConsolePath(const std::string& name) const;
  // Sends what has just been seen of each that runs; brings the views up to date.
  Task<void> Look();

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
  // Connects to the hypervisor, unless that has been done.
  Task<Status> Connect();
  // A changed record with an event about it; memory follows the disk.
  Task<Status> Save(Ptr machine, Vm changed, std::string event, std::string message,
                    std::string actor, store::RequestRecord request);
  Task<Status> Save(Ptr machine, Vm changed, std::string event, std::string message,
                    std::string actor = "agent");
  // What has happened, whether it can be recorded or not.
  Task<void> SaveReality(Ptr machine, Vm changed, std::string event, std::string message);
  VmView Show(const Machine& machine) const;

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
  std::shared_ptr<AsyncMutex> connect_mutex_;
  bool connected_ = false;
  bool recovered_ = false;  // it is known what has become of those that were recorded
  bool looking_ = false;
  bool reconnecting_ = false;
  bool closed_ = false;
  Notifier closing_;
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
};

}  // namespace claw::lifecycle
