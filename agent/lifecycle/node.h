#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/lifecycle/call.h"
#include "agent/lifecycle/counters.h"
#include "agent/lifecycle/event_bus.h"
#include "agent/lifecycle/network_keeper.h"
#include "agent/lifecycle/node_config.h"
#include "agent/lifecycle/start_gate.h"
#include "agent/lifecycle/state.h"
#include "agent/lifecycle/views.h"
#include "agent/model/event.h"
#include "agent/model/image.h"
#include "agent/model/network.h"
#include "agent/model/node_state.h"
#include "agent/model/sandbox.h"
#include "agent/placement/examine.h"
#include "agent/policy/compat.h"
#include "agent/policy/hardening.h"

namespace claw::lifecycle {

// All that the agent knows and does. Lives on one strand: every call is made there, state is read
// again after every co_await, there are no locks. One file for each verb; the tables of records are
// private to them.
//
// A `name` is an id, or a display name. Errors carry typed details; NOT_FOUND has the reasons
// TENANT_NOT_FOUND, SANDBOX_NOT_FOUND and IMAGE_NOT_FOUND. `request_id` may be empty: then the call
// is not remembered.
class Node {
 public:
  Node(NodeDeps deps, NodeConfig config);
  ~Node();

  // recover.cc: loads what was recorded, looks for what runs, makes the two agree. First of all.
  Task<Status> Recover(store::Snapshot snapshot, std::vector<store::Quarantined> quarantined);

  // tenants.cc. The times of `wanted` are set here.
  Task<StatusOr<Tenant>> CreateTenant(Call call, Tenant wanted);
  // Lowering the trust counts from the call on, even if it cannot be recorded; what may no longer
  // run has ended when the call answers. DEADLINE_EXCEEDED, reason STILL_RUNNING, if some of it
  // does not end.
  Task<StatusOr<Tenant>> UpdateTenant(Call call, std::string name, TenantPatch patch);
  StatusOr<Tenant> GetTenant(const std::string& name) const;
  std::vector<Tenant> ListTenants() const;  // by name
  int CountSandboxes(const std::string& tenant) const;
  Task<Status> DeleteTenant(Call call, std::string name, bool allow_missing);

  // images.cc. As image::ImageStore has them, one for each platform ("arm64"); without any, for
  // those of this node that there is one for. Progress comes from a pool thread.
  Task<StatusOr<Images>> PullImage(Call call, std::string reference, bool insecure,
                                   std::string signer, Names platforms, image::Progress progress);
  Task<StatusOr<Images>> ImportImage(Call call, std::string source, std::string reference,
                                     std::string signer, Names platforms, image::Progress progress);
  Task<StatusOr<Image>> AddReceivedImage(Call call, Image image);  // its files are in the store
  // All of that name, this machine's first; of a digest that one. FindImage: the first.
  StatusOr<Images> FindVariants(const std::string& reference_or_digest) const;
  StatusOr<Image> FindImage(const std::string& reference_or_digest) const;
  std::vector<Image> ListImages() const;  // by digest
  int CountImageUsers(const std::string& digest) const;
  Task<Status> DeleteImage(Call call, std::string reference_or_digest, bool allow_missing);
  Task<StatusOr<Garbage>> CollectImages(Call call, bool all, bool validate_only);

  // create.cc: answers when it runs and has been proven. validate_only: what would run, no effect.
  Task<StatusOr<Sandbox>> CreateSandbox(Call call, SandboxSpec spec, bool validate_only);
  // reserve.cc: holds places for a while, charged as if they ran; commit.cc starts what a place was
  // held for. All of them in one transaction, and with `all_or_nothing` all or none: then the error
  // of the first that does not fit. Answers in the order of `wanted`. An error's outcome says what
  // it leaves behind.
  Task<StatusOr<std::vector<StatusOr<Sandbox>>>> Reserve(Call call, std::vector<Wanted> wanted,
                                                         bool all_or_nothing);
  // Asks everything anew; what is refused stays reserved. Once begun, the place is used up.
  Task<StatusOr<Sandbox>> CommitReservation(Call call, std::string name);
  Task<Status> ReleaseReservation(Call call, std::string name, bool allow_missing);
  // create.cc: what may have changed since somebody looked: runtimes, limits, pressure, disk.
  // Reserve, Commit and CreateSandbox do it by themselves.
  Task<void> LookAround();
  // adopt.cc: for the host of a guest. It holds a place, under the host's id.
  Task<StatusOr<Sandbox>> Prepare(Call call, GuestOrder order);
  // targets.cc: this host, then its VMs; brought up to date. Until anything changes.
  std::vector<const placement::Target*> Targets() const;
  // Every target with every constraint, those that fit first, as Reserve would find them, or Commit
  // of the sandbox of this id.
  StatusOr<std::vector<placement::Explanation>> Explain(const SandboxSpec& spec,
                                                        const std::string& reserved = {}) const;
  // cordon.cc: takes nothing new, over restarts, too.
  Task<Status> Cordon(Call call, std::string reason);
  Task<Status> Uncordon(Call call);
  const NodeState& state() const { return state_; }
  // sandboxes.cc
  StatusOr<Sandbox> GetSandbox(const std::string& name) const;
  std::vector<Sandbox> ListSandboxes() const;  // by creation time, then id
  // Until its program has ended, or nothing of it is left that holds memory; CANCELLED.
  Task<StatusOr<Sandbox>> WaitSandbox(std::string name, bool until_released = false);
  // Of one; empty name: all that run, with `here` those on the host itself.
  Task<StatusOr<std::vector<SandboxStats>>> GetStats(std::string name, bool here = false);
  // measure.cc: looks at what runs and learns from it; done by itself every measure_interval.
  Task<void> Measure();
  // Each image with each healthy driver, and what else has been measured; by driver, then image.
  std::vector<OverheadView> ListOverheads(int64_t workload_bytes = kDefaultWorkloadBytes,
                                          int64_t request_bytes = 0) const;
  // admit.cc: what burstable sandboxes need together, and the model that says so.
  budget::BurstNeed burst_need() const;
  const budget::BurstModel& burst_model() const { return burst_; }
  ConcurrencyView concurrency() const;
  const budget::OverheadModel& overheads() const { return overheads_; }
  // capacity.cc. FAILED_PRECONDITION, reason RUNTIME_MISSING, if a driver does not work here: then
  // nothing is known of it.
  StatusOr<CapacityView> PlanCapacity(const CapacityQuestion& question) const;
  // pressure.cc: asks the kernel, unless somebody has just done so, and acts on what it says. Done
  // by itself before each start, with each measurement and as long as there is pressure; the agent
  // calls it when the kernel tells of a stall.
  Task<void> LookAtPressure();
  class Vms;  // vms.h
  Vms& vms() const { return *vms_; }
  // chargeback.cc
  Tally TakeTally();
  const Counters& counters() const { return counters_; }
  NetworkKeeper& network() { return network_; }
  // network_policies.cc: a change is in force for all sandboxes under the policy when the call
  // answers, or has not been made. NOT_FOUND, reason NETWORK_POLICY_NOT_FOUND.
  Task<StatusOr<NamedNetworkPolicy>> PutNetworkPolicy(Call call, NamedNetworkPolicy wanted);
  StatusOr<NamedNetworkPolicy> GetNetworkPolicy(const std::string& name) const;
  std::vector<NamedNetworkPolicy> ListNetworkPolicies() const;  // by name
  // FAILED_PRECONDITION, reason NETWORK_POLICY_IN_USE, as long as a tenant refers to it.
  Task<Status> DeleteNetworkPolicy(Call call, std::string name, bool allow_missing);
  Task<StatusOr<Sandbox>> SetSandboxNetwork(Call call, std::string name,
                                            std::optional<NetworkPolicy> policy);
  Task<StatusOr<std::vector<NetworkView>>> ShowNetworks(std::string name);  // empty: all
  // stop.cc
  Task<StatusOr<Sandbox>> StopSandbox(Call call, std::string name,
                                      std::optional<std::chrono::milliseconds> grace);
  Task<Status> SignalSandbox(Call call, std::string name, int signal);
  // remove.cc
  Task<Status> DeleteSandbox(Call call, std::string name, bool force, bool allow_missing);

  // streams.cc: what a running sandbox offers. The objects are used off the strand by one owner.
  Task<StatusOr<std::unique_ptr<drivers::LogReader>>> OpenLog(std::string name);
  Task<StatusOr<UniqueFd>> OpenInput(std::string name);
  Task<Status> ResizeTerminal(std::string name, int rows, int columns);
  Task<StatusOr<std::unique_ptr<drivers::ExecSession>>> Exec(std::string name,
                                                             drivers::ExecSpec spec);

  // compat.cc: runs an image's probes in throwaway sandboxes and records the verdict. Ends when its
  // caller does: CANCELLED, and nothing is recorded. `progress` is called on the strand.
  using CompatProgress = std::function<void(std::string)>;
  Task<StatusOr<CompatVerdict>> TestImage(Call call, CompatTestSpec spec, CompatProgress progress);
  // verdicts.cc. NOT_FOUND, reason VERDICT_NOT_FOUND. An image is a reference or a digest; by its
  // digest it need not be here any more.
  StatusOr<CompatVerdict> GetVerdict(const std::string& image) const;
  std::vector<CompatVerdict> ListVerdicts() const;  // by VerdictKey
  bool IsStale(const CompatVerdict& verdict) const;
  Task<StatusOr<CompatVerdict>> AcceptVerdict(Call call, std::string image);
  Task<Status> DeleteVerdict(Call call, std::string image, bool allow_missing);
  // overrides.cc. NOT_FOUND, reason OVERRIDE_NOT_FOUND.
  Task<StatusOr<CompatOverride>> CreateOverride(Call call, CompatOverride wanted,
                                                std::chrono::seconds ttl);
  Task<std::vector<CompatOverride>> ListOverrides();  // by digest; removes those that have expired
  Task<Status> DeleteOverride(Call call, std::string image_digest, bool allow_missing);

  // events.cc
  Task<StatusOr<std::vector<Event>>> ReadEvents(store::EventQuery query);
  // Every event from now on. RESOURCE_EXHAUSTED if its owner does not keep up.
  std::unique_ptr<EventSubscription> Subscribe();
  // Of the newest durable event: the state that the node shows lacks nothing up to it.
  int64_t revision() const { return durable_revision_; }
  NodeCounts counts() const;
  const host::HostInfo& host() const { return deps_.host; }
  const NodeConfig& config() const { return config_; }
  const std::vector<DriverState>& drivers() const { return drivers_; }
  MemoryView memory() const;                    // admit.cc
  std::vector<std::string> conditions() const;  // what is wrong; empty: ready
  Time started_at() const { return started_at_; }
  const std::string& incarnation() const { return incarnation_; }
  // check.cc: looks at the node anew.
  Task<std::vector<NodeCheck>> CheckNode();
  bool hardened() const;  // the config says so, and every check passed when it was last looked

  // shutdown.cc: takes no new work, waits for what is under way. Sandboxes run on.
  Task<void> Drain();

 private:
  struct Entry;  // a sandbox with what only lives in memory: its mutex, its waiters

  using Body = std::function<Status(store::Transaction&)>;

  // events.cc: one durable write; on success the events are published, in order.
  Task<Status> Commit(Body body, std::vector<Event> events);
  Task<Status> Commit(Body body);
  Event MakeEvent(std::string type, std::string subject, std::string tenant, std::string message,
                  std::string actor = "agent");

  // requests.cc: whether this request was made before. Empty: it is new and its id is reserved
  // until FinishRequest.
  Task<StatusOr<std::optional<store::RequestRecord>>> BeginRequest(Call call, std::string method,
                                                                   std::string fingerprint);
  void FinishRequest(const std::string& request_id);
  store::RequestRecord MakeRequest(const std::string& request_id, std::string method,
                                   std::string fingerprint, std::string subject) const;
  void RememberRequest(const store::RequestRecord& record);
  std::vector<std::string> OldestRequests() const;  // beyond config_.max_request_records

  // probe.cc: what the drivers of these indices find on this machine.
  Task<void> ProbeDrivers(std::vector<size_t> which);
  // Looks again at those whose runtime is no longer the one that was looked at: a verdict holds for
  // one version, and what was missing may have been installed.
  Task<void> RefreshDrivers();

  // measure.cc
  void StartMeasuring();  // until nothing runs any more
  Task<void> MeasureWhileAnyRuns();
  void CloseWindow(Entry& entry, Time now);
  Task<void> SaveOverheads();

  // admit.cc
  // Whether one more test of an image fits, the limit around all sandboxes is in force, and the
  // node is not under pressure. Sandboxes are asked by `placement`.
  Status Admit(const Memory& charge) const;
  budget::Holdings Holdings() const;
  const budget::Counts& CountActive() const;
  budget::Room RoomFor(const SandboxClass& sandboxes, const Memory& memory,
                       const budget::Holdings& holdings, const budget::Counts& counts) const;
  Task<void> LimitMemory();  // sets that limit unless it is

  // pressure.cc
  Task<void> ActOnPressure(PressureBand before);
  Task<void> WatchPressure();  // until it has gone
  Task<StatusOr<int64_t>> CountAtOwnLimit();
  Task<void> Evict();
  Task<void> Evict(std::shared_ptr<Entry> entry, std::string why);

  struct ImageBook;  // images.cc

  // decide.cc: what the isolation policy says now, and what it is asked about.
  StatusOr<policy::Decision> Decide(const Sandbox& sandbox) const;
  std::string HardeningProblem() const;  // check.cc
  policy::NodeFacts Facts() const;
  // Reads the machine's facts again; of a hardened node an event says if it is one no longer.
  Task<void> RefreshFacts();
  Task<void> WatchHardening();
  std::string RuntimeProblem(IsolationClass isolation) const;  // empty: it works
  // Whether a start that is under way may go on: the world may have changed since it was planned.
  Status CheckStillAllowed(const Entry& entry) const;

  // revoke.cc: ends what may no longer run in its class.
  bool MayGoOn(const Sandbox& sandbox) const;
  // Begins to end them, before anything is waited for. A start that is under way sees it at its
  // next step.
  std::vector<std::shared_ptr<Entry>> RevokeForbidden(const std::string& actor);
  Task<Status> AwaitRevoked(std::vector<std::shared_ptr<Entry>> entries);
  Task<void> Revoke(std::shared_ptr<Entry> entry, std::string actor);

  // compat.cc
  struct CompatTest;
  struct ProbePlan;
  struct ProbeOutcome;
  struct CompatRunner;
  int64_t CompatBytes() const;  // charged for tests
  // verdicts.cc
  StatusOr<std::string> DigestOf(const std::string& image) const;
  // Of the same image and the same runtime, or null; PutVerdict: in its place.
  CompatVerdict* FindVerdict(const CompatVerdict& like);
  void PutVerdict(CompatVerdict verdict);
  Task<void> DropExpiredOverrides();  // overrides.cc

  // targets.cc. The tables of sandboxes are changed by these alone, so that what the targets hold
  // is what they say.
  void Adopt(const std::shared_ptr<Entry>& entry);
  void SetRecord(Entry& entry, Sandbox record);
  void Forget(const std::shared_ptr<Entry>& entry);
  placement::Occupancy& HeldOn(const std::string& target) const;
  void Hold(const Sandbox& sandbox) const;
  void LetGo(const Sandbox& sandbox) const;
  StatusOr<const placement::Target*> FindTarget(const std::string& name) const;
  SandboxClass ClassOf(const Sandbox& sandbox) const;  // of the runtime that it is started with
  placement::Settings PlacementSettings() const;
  placement::Demand DemandFor(const Tenant& tenant, const std::vector<Image>& variants,
                              const SandboxSpec& spec) const;
  placement::Platform PlatformHere() const;
  const placement::Target& Here() const;  // here.cc

  // plan.cc: what would run, without an effect.
  struct Plan;
  Status CheckName(const SandboxSpec& spec) const;
  static Status CheckProgram(const SandboxSpec& spec, const Image& image);
  // `digest`: of the image, whatever the spec names; empty: that one.
  StatusOr<Plan> MakePlan(const SandboxSpec& spec, const std::string& digest) const;
  StatusOr<Plan> PlanReserved(const Entry& entry) const;
  std::shared_ptr<const drivers::GuestFacts> FactsFor(const Sandbox& record, const Tenant& tenant,
                                                      const Image& image) const;
  StatusOr<Plan> PlanOf(Sandbox record, const placement::Offer& offer, const Tenant& tenant,
                        const Image& image) const;

  // reserve.cc
  struct Placed;  // an entry and its plan
  // A place in memory, charged from now on; RecordPlaces makes it durable or takes it back. No ttl:
  // it is started at once.
  StatusOr<Placed> Place(const Call& call, const Wanted& wanted, bool held);
  Task<Status> RecordPlaces(std::vector<std::shared_ptr<Entry>> entries,
                            store::RequestRecord request, std::string actor);
  std::vector<StatusOr<Sandbox>> ReservedEarlier(const store::RequestRecord& earlier) const;
  StatusOr<std::shared_ptr<Entry>> FindReservation(const std::string& name) const;
  Task<Status> EndReservation(std::shared_ptr<Entry> entry, store::RequestRecord request,
                              std::string why, Call call);
  // lease.cc
  void BeginLease(const std::shared_ptr<Entry>& entry);
  void EndLease(Entry& entry);
  bool HasExpired(const Entry& entry) const;
  void ArmLeases();
  void ExpireLeases();
  Task<void> Expire(std::shared_ptr<Entry> entry);
  // commit.cc
  Task<Status> RecordCommit(std::shared_ptr<Entry> entry, Sandbox committed,
                            store::RequestRecord request, std::string actor);
  StatusOr<Sandbox> StartedEarlier(const store::RequestRecord& earlier) const;
  Task<StatusOr<Sandbox>> Start(std::shared_ptr<Entry> entry, Plan plan,
                                std::chrono::steady_clock::time_point began);
  // cordon.cc
  Status CheckFence(const Fence& fence) const;
  Task<Status> RaiseGeneration(Call call);
  Task<Status> SaveState(NodeState state, store::RequestRecord request, std::vector<Event> events);
  Task<void> CordonAfterDamage();

  // network.cc: the tenant's policy before the sandbox's own.
  std::vector<network::NetworkPlan::Layer> NetworkLayers(const Tenant& tenant,
                                                         const NetworkSpec& spec) const;
  network::NetworkPlan NetworkPlanFor(const Sandbox& sandbox) const;
  Task<StatusOr<NetworkAttachment>> Connect(std::shared_ptr<Entry> entry, int64_t pid);
  // What the policies now say for these; all of them or none.
  Task<Status> ReplaceRules(std::vector<std::shared_ptr<Entry>> entries);
  Task<void> RecoverNetworks();
  void ListenToNetwork();

  // create.cc
  Task<void> LookAtRoom();
  Task<StatusOr<Sandbox>> Launch(std::shared_ptr<Entry> entry, Plan plan);
  Task<Status> AbandonStart(std::shared_ptr<Entry> entry, Status why);
  Task<Status> ForgetStart(std::shared_ptr<Entry> entry, const Status& why);

  // chargeback.cc
  // What a sandbox's tenant owes for it, beyond what is in usage_.
  ByteSeconds Owed(Entry& entry, Time now);
  // For the write that ends the charge: what that write adds to the tenant's total. From here on it
  // is fixed, until PayBill moves it to usage_ as the write has worked. Empty: nothing is owed.
  std::optional<TenantUsage> CloseBill(Entry& entry);
  void PayBill(Entry& entry);
  // Nothing of it is left: its record goes, and what its tenant owes for it is recorded.
  Task<Status> DropRecord(std::shared_ptr<Entry> entry, store::RequestRecord request,
                          std::vector<Event> events);

  // exit.cc
  void WatchExit(const std::shared_ptr<Entry>& entry);
  Task<void> OnExit(std::shared_ptr<Entry> entry, drivers::ExitObservation seen);
  // Removes what holds memory, until that has worked; then the charge is gone.
  Task<void> Release(std::shared_ptr<Entry> entry);
  Task<void> RemoveWhenRead(std::shared_ptr<Entry> entry);
  // A change that has happened whether it can be recorded or not: kept in memory at once, tried on
  // disk until it is there.
  Task<void> SaveReality(std::shared_ptr<Entry> entry, Sandbox changed, std::string event_type,
                         std::string message);
  Task<void> Sleep(std::chrono::milliseconds time);

  // stop.cc
  Task<Status> EndProgram(std::shared_ptr<Entry> entry, std::chrono::milliseconds grace,
                          std::string actor);
  Task<void> AwaitEnd(std::shared_ptr<Entry> entry, std::chrono::milliseconds at_most);

  // remove.cc
  Task<Status> RemoveEntry(std::shared_ptr<Entry> entry, store::RequestRecord request,
                           std::string actor);
  // All that there is of a sandbox; Dismantle: what holds memory, addresses or rules.
  // `released`: that is done, only files are left. Both are idempotent.
  Task<Status> Erase(drivers::Driver* driver, Sandbox record, bool released);
  Task<Status> Dismantle(drivers::Driver* driver, Sandbox record);

  // recover.cc
  void LoadSnapshot(store::Snapshot snapshot);
  Task<void> RecoverImages(bool store_was_lost);
  Task<Status> RecoverSandbox(std::shared_ptr<Entry> entry);
  Task<Status> RecoverStray(drivers::Driver* driver, std::string id, bool store_was_lost);
  Task<Status> Rebuild(drivers::Driver* driver, drivers::Driver::Recovered found);
  Task<void> Report(std::string type, std::string subject, std::string message);

  std::shared_ptr<Entry> Find(const std::string& name) const;
  StatusOr<std::shared_ptr<Entry>> FindOrError(const std::string& name) const;
  drivers::Driver* DriverFor(const Sandbox& sandbox) const;
  BlockingPool& PoolFor(const Sandbox& sandbox) const;  // for that driver's calls
  const DriverState* DriverOf(IsolationClass isolation) const;
  // Saves a changed sandbox with one event about it; the memory copy changes only if the disk took
  // it.
  Task<Status> Save(std::shared_ptr<Entry> entry, Sandbox changed, std::string event_type,
                    std::string message, std::string actor = "agent");

  NodeDeps deps_;
  NodeConfig config_;
  Time started_at_;
  std::string incarnation_;
  std::vector<DriverState> drivers_;
  std::shared_ptr<AsyncMutex> probe_mutex_;  // held while drivers are looked at again
  std::map<std::string, Tenant> tenants_;
  std::shared_ptr<AsyncMutex> tenant_mutex_;  // held while a tenant is changed
  std::map<std::string, std::shared_ptr<Entry>> sandboxes_;
  std::map<std::string, std::string> names_;  // display name -> id
  // This host as a target: `held` sums up what is on it, the rest is brought up to date by Here().
  mutable placement::Target here_;
  mutable placement::Occupancy everywhere_;  // all of sandboxes_
  NodeState state_;
  std::shared_ptr<AsyncMutex> state_mutex_;  // held while it is changed
  int64_t durable_generation_ = 0;           // of the controller, as the disk has it
  RoomWatch room_;
  LeaseTable leases_;
  std::map<std::string, Image> images_;
  std::shared_ptr<AsyncMutex> image_mutex_;  // held while an image is recorded or removed
  // By the image's digest; those of one image by VerdictKey.
  std::map<std::string, std::vector<CompatVerdict>> verdicts_;
  std::map<std::string, CompatOverride> overrides_;        // by digest
  std::vector<std::shared_ptr<CompatTest>> compat_tests_;  // under way
  std::map<std::string, ByteSeconds> usage_;               // by tenant, as recorded
  Counters counters_;
  budget::OverheadModel overheads_;
  bool measuring_ = false;  // the loop of measure.cc runs
  budget::BurstModel burst_;
  budget::Dial dial_;
  PressureWatch pressure_;
  std::map<std::string, std::shared_ptr<StartGate>> start_gates_;  // by driver
  std::map<std::string, NamedNetworkPolicy> network_policies_;
  NetworkKeeper network_;
  std::unique_ptr<Vms> vms_;
  Status memory_limit_ = Unavailable("the limit around all sandboxes has not been set");
  std::map<std::string, store::RequestRecord> requests_;
  std::map<std::string, std::shared_ptr<Notifier>> requests_under_way_;
  int64_t revision_ = 0;          // of the newest event made
  int64_t durable_revision_ = 0;  // of the newest event published
  int64_t events_since_trim_ = 0;
  EventBus bus_;
  std::string store_problem_;  // of the last write that failed; empty: the store takes writes
  StatusOr<MachineFacts> facts_ = Internal("it has not been checked");
  std::string hardening_said_;  // the problem that events told of last; empty: none
  bool draining_ = false;
  int under_way_ = 0;  // mutations that have begun
  Notifier drained_;   // under_way_ has come down
};

}  // namespace claw::lifecycle
