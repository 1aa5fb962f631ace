#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/status.h"
#include "agent/model/compat.h"
#include "agent/model/event.h"
#include "agent/model/image.h"
#include "agent/model/network.h"
#include "agent/model/node_state.h"
#include "agent/model/overhead.h"
#include "agent/model/sandbox.h"
#include "agent/model/tenant.h"
#include "agent/model/usage.h"
#include "agent/model/vm.h"

namespace claw::store {

// One mutation that a caller named, and what became of it.
struct RequestRecord {
  std::string request_id{};
  std::string method{};  // "CreateSandbox"
  // Of the request's content: the same id with other content is an error.
  std::string fingerprint{};
  std::string subject{};  // the resource it made or changed: "sandboxes/…"
  int code = 0;           // absl::StatusCode of the answer; 0: it succeeded or is under way
  std::string message{};  // of the error
  std::string reason{};   // of the error's detail
  Time created_at{};

  bool operator==(const RequestRecord&) const = default;
};

// What was set aside because it could not be read.
struct Quarantined {
  std::string what{};   // "sandboxes/…", "clawlet.db"; UTF-8 whatever was found
  std::string why{};    // in a sentence
  std::string where{};  // where it is now: a table row or a file
};

// Everything that is recorded but the events.
struct Snapshot {
  std::vector<Tenant> tenants{};
  std::vector<Sandbox> sandboxes{};
  std::vector<Image> images{};
  std::vector<CompatVerdict> verdicts{};
  std::vector<CompatOverride> overrides{};
  std::vector<NamedNetworkPolicy> network_policies{};
  std::vector<OverheadRecord> overheads{};
  std::vector<TenantUsage> usages{};
  std::vector<Vm> vms{};
  std::vector<RequestRecord> requests{};
  std::optional<NodeState> node_state{};  // absent: it was never written
  int64_t last_revision = 0;              // of the newest event ever written; 0: none
};

// The writes of one caller. Used only inside the body given to Store::Write, on the writer thread.
// Put inserts or replaces; Delete is OK if there is nothing to delete.
class Transaction {
 public:
  virtual ~Transaction() = default;
  virtual Status PutTenant(const Tenant& tenant) = 0;
  virtual Status DeleteTenant(const std::string& name) = 0;
  virtual Status PutSandbox(const Sandbox& sandbox) = 0;
  virtual Status DeleteSandbox(const std::string& id) = 0;
  virtual Status PutImage(const Image& image) = 0;
  virtual Status DeleteImage(const std::string& digest) = 0;
  virtual Status PutVerdict(const CompatVerdict& verdict) = 0;
  virtual Status DeleteVerdict(const std::string& key) = 0;  // see VerdictKey
  virtual Status PutOverride(const CompatOverride& value) = 0;
  virtual Status DeleteOverride(const std::string& image_digest) = 0;
  virtual Status PutNetworkPolicy(const NamedNetworkPolicy& named) = 0;
  virtual Status DeleteNetworkPolicy(const std::string& name) = 0;
  virtual Status PutOverhead(const OverheadRecord& record) = 0;
  virtual Status DeleteOverhead(const std::string& key) = 0;  // see OverheadKey
  // Adds to what is recorded of the tenant; a sum that cannot be read begins anew.
  virtual Status AddTenantUsage(const TenantUsage& more) = 0;
  virtual Status DeleteTenantUsage(const std::string& tenant) = 0;
  virtual Status PutNodeState(const NodeState& state) = 0;
  virtual Status PutVm(const Vm& vm) = 0;
  virtual Status DeleteVm(const std::string& name) = 0;
  virtual Status PutRequest(const RequestRecord& request) = 0;
  virtual Status DeleteRequest(const std::string& request_id) = 0;
  // The revision is set by the caller. ALREADY_EXISTS if it has been used, INVALID_ARGUMENT if it
  // is not positive.
  virtual Status AppendEvent(const Event& event) = 0;
  // Keeps the newest `keep` events and removes the older ones.
  virtual Status TrimEvents(int64_t keep) = 0;
};

struct EventQuery {
  int64_t after_revision = 0;
  std::string subject{};  // empty: all
  int limit = 100;
};

struct Options {
  std::filesystem::path path{};  // the database file; its folder exists
  size_t max_queued_writes = 4096;
};

// The node's records in SQLite (WAL, synchronous=FULL): one writer thread with the only writing and
// checkpointing connection, one connection for reading events. Thread-safe.
class Store {
 public:
  // Opens or makes the database and migrates it. A file that is not a sound database is moved aside
  // ("clawlet.db.corrupt-…", named in quarantined()) and a new one is made. Rows that cannot be
  // read (checksum, JSON, schema) are moved into the table `quarantine`. Errors: UNAVAILABLE if
  // another process has it open; FAILED_PRECONDITION if it was written by a newer schema; the
  // disk's errors.
  static StatusOr<std::unique_ptr<Store>> Open(const Options& options);
  // Waits for the queued writes.
  virtual ~Store() = default;

  // What was recorded when the store was opened. Call it once. After a database was lost,
  // last_revision goes on from the clock's microseconds: revisions never go backwards.
  virtual Snapshot TakeSnapshot() = 0;
  // What this Open set aside, and did not report before.
  virtual const std::vector<Quarantined>& quarantined() const = 0;

  // Queues `body`. Bodies run in order; several share one transaction and one fsync, each in a
  // savepoint of its own: one that fails takes back only its own writes. `done` is called on the
  // writer thread, after the fsync, with body's error or that of the commit (RESOURCE_EXHAUSTED,
  // reason DISK_FULL, when the disk is full); with UNAVAILABLE at once on the caller's thread if
  // the queue is full. An exception of body counts as an error of its own; `done` must not throw.
  virtual void Write(std::function<Status(Transaction&)> body,
                     std::function<void(Status)> done) = 0;

  // Events in ascending order. OUT_OF_RANGE, reason REVISION_COMPACTED, if events after
  // after_revision have been trimmed. An event that cannot be read is answered as one of the type
  // "store.quarantined" with its revision. Blocks; for pool threads.
  virtual StatusOr<std::vector<Event>> ReadEvents(const EventQuery& query) = 0;

  // Commits so far, for benchmarks: how many bodies and how many fsync'ed transactions.
  struct Counters {
    int64_t writes = 0;
    int64_t commits = 0;
  };
  virtual Counters counters() const = 0;
};

}  // namespace claw::store
