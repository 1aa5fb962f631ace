#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/clock.h"
#include "agent/budget/ledger.h"
#include "agent/host/host_info.h"
#include "agent/lifecycle/async.h"
#include "agent/lifecycle/event_bus.h"
#include "agent/model/event.h"
#include "agent/model/image.h"
#include "agent/model/sandbox.h"
#include "agent/model/tenant.h"
#include "drivers/driver.h"
#include "drivers/image/image_store.h"
#include "store/store.h"

namespace claw::lifecycle {

// What a node is made of. The references outlive the Node.
struct NodeDeps {
  asio::any_io_executor strand;
  BlockingPool& pool;
  store::Store& store;
  image::ImageStore& images;
  std::vector<drivers::Driver*> drivers;  // at most one for each isolation class
  Clock& clock;
  host::HostInfo host;
};

struct NodeConfig {
  std::string node_id{};
  int64_t capacity_bytes = 0;  // memory that the node may hand out, before the reserves
  budget::Reserves reserves{};
  int64_t max_events = 100'000;           // older ones are removed
  int64_t max_request_records = 100'000;  // of finished requests; older ones are forgotten
  std::chrono::milliseconds stop_grace = std::chrono::seconds(10);
};

// A driver as it was found when the agent came up.
struct DriverState {
  drivers::Driver* driver = nullptr;
  drivers::Fingerprint fingerprint{};
};

// Memory of the node in bytes; see NodeMemory in the API.
struct MemoryView {
  int64_t capacity_bytes = 0;
  int64_t reserved_bytes = 0;
  int64_t allocatable_bytes = 0;
  int64_t charged_bytes = 0;
};

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

  // recover.cc: loads what was recorded, looks for what runs, makes the two agree. Before anything
  // else.
  Task<Status> Recover(store::Snapshot snapshot, std::vector<store::Quarantined> quarantined);

  // tenants.cc
  Task<StatusOr<Tenant>> CreateTenant(std::string request_id, std::string name, Trust trust);
  StatusOr<Tenant> GetTenant(const std::string& name) const;
  std::vector<Tenant> ListTenants() const;  // by name
  int CountSandboxes(const std::string& tenant) const;
  Task<Status> DeleteTenant(std::string request_id, std::string name, bool allow_missing);

  // images.cc
  Task<StatusOr<Image>> PullImage(std::string request_id, std::string reference, bool insecure,
                                  image::Progress progress);  // progress comes from a pool thread
  Task<StatusOr<Image>> ImportImage(std::string request_id, std::string source,
                                    std::string reference, image::Progress progress);
  StatusOr<Image> FindImage(const std::string& reference_or_digest) const;
  std::vector<Image> ListImages() const;  // by digest
  int CountImageUsers(const std::string& digest) const;
  Task<Status> DeleteImage(std::string request_id, std::string reference_or_digest,
                           bool allow_missing);
  struct Garbage {
    std::vector<std::string> digests{};
    int64_t freed_bytes = 0;
  };
  Task<StatusOr<Garbage>> CollectImages(std::string request_id, bool all, bool validate_only);

  // create.cc: answers when it runs and has been proven. validate_only: what would run, without an
  // effect.
  Task<StatusOr<Sandbox>> CreateSandbox(std::string request_id, SandboxSpec spec,
                                        bool validate_only);
  // sandboxes.cc
  StatusOr<Sandbox> GetSandbox(const std::string& name) const;
  std::vector<Sandbox> ListSandboxes() const;             // by creation time, then id
  Task<StatusOr<Sandbox>> WaitSandbox(std::string name);  // until its program has ended; CANCELLED
  struct SandboxStats {
    std::string id{};
    drivers::Stats stats{};
    Time time{};
  };
  Task<StatusOr<std::vector<SandboxStats>>> GetStats(std::string name);  // empty name: all that run
  // stop.cc
  Task<StatusOr<Sandbox>> StopSandbox(std::string request_id, std::string name,
                                      std::optional<std::chrono::milliseconds> grace);
  // remove.cc
  Task<Status> DeleteSandbox(std::string request_id, std::string name, bool force,
                             bool allow_missing);

  // streams.cc: what a running sandbox offers. The objects are used off the strand, by their one
  // owner.
  Task<StatusOr<std::unique_ptr<drivers::LogReader>>> OpenLog(std::string name);
  Task<StatusOr<UniqueFd>> OpenInput(std::string name);
  Task<Status> ResizeTerminal(std::string name, int rows, int columns);
  Task<StatusOr<std::unique_ptr<drivers::ExecSession>>> Exec(std::string name,
                                                             drivers::ExecSpec spec);

  // events.cc
  Task<StatusOr<std::vector<Event>>> ReadEvents(store::EventQuery query);
  // Every event from now on. Ends with RESOURCE_EXHAUSTED if its owner does not keep up.
  std::unique_ptr<EventSubscription> Subscribe();
  // Of the newest event that is durable: the state that the node shows lacks nothing up to it.
  int64_t revision() const { return durable_revision_; }

  // What the node is and how it stands.
  const host::HostInfo& host() const { return deps_.host; }
  const NodeConfig& config() const { return config_; }
  const std::vector<DriverState>& drivers() const { return drivers_; }
  MemoryView memory() const;
  std::vector<std::string> conditions() const;  // what is wrong; empty: ready
  Time started_at() const { return started_at_; }
  const std::string& incarnation() const { return incarnation_; }

  // shutdown.cc: takes no new work, waits for what is under way. Sandboxes go on running.
  Task<void> Drain();

 private:
  struct Entry;  // a sandbox with what only lives in memory: its mutex, its waiters

  using Body = std::function<Status(store::Transaction&)>;

  // events.cc: one durable write; on success the events are published, in order.
  Task<Status> Commit(Body body, std::vector<Event> events);
  Task<Status> Commit(Body body);
  Event MakeEvent(std::string type, std::string subject, std::string tenant, std::string message);

  // requests.cc: whether this request was made before. Empty: it is new and its id is reserved
  // until FinishRequest.
  Task<StatusOr<std::optional<store::RequestRecord>>> BeginRequest(std::string request_id,
                                                                   std::string method,
                                                                   std::string fingerprint);
  void FinishRequest(const std::string& request_id);
  store::RequestRecord MakeRequest(const std::string& request_id, std::string method,
                                   std::string fingerprint, std::string subject) const;
  void RememberRequest(const store::RequestRecord& record);
  // Those beyond the newest config_.max_request_records, which are to be forgotten.
  std::vector<std::string> OldestRequests() const;

  // images.cc
  Task<StatusOr<Image>> AddImage(std::string request_id, std::string method,
                                 std::string fingerprint, std::function<StatusOr<Image>()> fetch);
  Task<Status> DropImage(Image image);

  // create.cc
  struct Plan;
  StatusOr<Plan> MakePlan(const SandboxSpec& spec) const;
  Task<Status> Reserve(std::shared_ptr<Entry> entry, store::RequestRecord request);
  Task<StatusOr<Sandbox>> Launch(std::shared_ptr<Entry> entry, Plan plan);
  // Undoes what a start has done and records why; the sandbox's record goes if nothing of it is
  // left.
  Task<Status> AbandonStart(std::shared_ptr<Entry> entry, Status why);
  Task<Status> ForgetStart(std::shared_ptr<Entry> entry, const Status& why);

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
  Task<Status> EndProgram(std::shared_ptr<Entry> entry, std::chrono::milliseconds grace);
  Task<void> AwaitEnd(std::shared_ptr<Entry> entry, std::chrono::milliseconds at_most);

  // remove.cc
  Task<Status> RemoveEntry(std::shared_ptr<Entry> entry, store::RequestRecord request);
  // All that a driver has of a sandbox. `released`: Destroy has worked before, only files are left.
  Task<Status> Erase(drivers::Driver* driver, std::string id, bool released);

  // recover.cc
  void LoadSnapshot(store::Snapshot snapshot);
  Task<void> ProbeDrivers();
  Task<void> RecoverImages(bool store_was_lost);
  Task<Status> RecoverSandbox(std::shared_ptr<Entry> entry);
  Task<Status> RecoverStray(drivers::Driver* driver, std::string id, bool store_was_lost);
  Task<Status> Rebuild(drivers::Driver* driver, drivers::Driver::Recovered found);
  Task<void> Report(std::string type, std::string subject, std::string message);

  std::shared_ptr<Entry> Find(const std::string& name) const;
  StatusOr<std::shared_ptr<Entry>> FindOrError(const std::string& name) const;
  drivers::Driver* DriverFor(const std::string& name) const;
  const DriverState* DriverOf(IsolationClass isolation) const;
  int64_t ChargedBytes() const;
  // Saves a changed sandbox with one event about it; the memory copy changes only if the disk took
  // it.
  Task<Status> Save(std::shared_ptr<Entry> entry, Sandbox changed, std::string event_type,
                    std::string message);

  NodeDeps deps_;
  NodeConfig config_;
  Time started_at_;
  std::string incarnation_;
  std::vector<DriverState> drivers_;
  std::map<std::string, Tenant> tenants_;
  std::map<std::string, std::shared_ptr<Entry>> sandboxes_;
  std::map<std::string, Image> images_;
  std::shared_ptr<AsyncMutex> image_mutex_;  // held while an image is recorded or removed
  std::map<std::string, store::RequestRecord> requests_;
  std::map<std::string, std::shared_ptr<Notifier>> requests_under_way_;
  int64_t revision_ = 0;          // of the newest event made
  int64_t durable_revision_ = 0;  // of the newest event published
  int64_t events_since_trim_ = 0;
  EventBus bus_;
  std::string store_problem_;  // of the last write that failed; empty: the store takes writes
  bool draining_ = false;
  int under_way_ = 0;  // mutations that have begun
  Notifier drained_;   // under_way_ has come down
};

}  // namespace claw::lifecycle
