#include "store/writer.h"

#include <utility>

#include "store/records.h"

namespace claw::store {
namespace {

class RecordTransaction final : public Transaction {
 public:
  explicit RecordTransaction(Connection& db) : db_(db) {}

  Status PutTenant(const Tenant& tenant) override { return store::PutTenant(db_, tenant); }
  Status DeleteTenant(const std::string& name) override { return store::DeleteTenant(db_, name); }
  Status PutSandbox(const Sandbox& sandbox) override { return store::PutSandbox(db_, sandbox); }
  Status DeleteSandbox(const std::string& id) override { return store::DeleteSandbox(db_, id); }
  Status PutImage(const Image& image) override { return store::PutImage(db_, image); }
  Status DeleteImage(const std::string& digest) override { return store::DeleteImage(db_, digest); }
  Status PutVerdict(const CompatVerdict& verdict) override {
    return store::PutVerdict(db_, verdict);
  }
  Status DeleteVerdict(const std::string& key) override { return store::DeleteVerdict(db_, key); }
  Status PutOverride(const CompatOverride& value) override {
    return store::PutOverride(db_, value);
  }
  Status DeleteOverride(const std::string& image_digest) override {
    return store::DeleteOverride(db_, image_digest);
  }
  Status PutNetworkPolicy(const NamedNetworkPolicy& named) override {
    return store::PutNetworkPolicy(db_, named);
  }
  Status DeleteNetworkPolicy(const std::string& name) override {
    return store::DeleteNetworkPolicy(db_, name);
  }
  Status PutOverhead(const OverheadRecord& record) override {
    return store::PutOverhead(db_, record);
  }
  Status DeleteOverhead(const std::string& key) override { return store::DeleteOverhead(db_, key); }
  Status AddTenantUsage(const TenantUsage& more) override { return store::AddUsage(db_, more); }
  Status DeleteTenantUsage(const std::string& tenant) override {
    return store::DeleteUsage(db_, tenant);
  }
  Status PutNodeState(const NodeState& state) override { return store::PutNodeState(db_, state); }
  Status PutVm(const Vm& vm) override { return store::PutVm(db_, vm); }
  Status DeleteVm(const std::string& name) override { return store::DeleteVm(db_, name); }
  Status PutRequest(const RequestRecord& request) override {
    return store::PutRequest(db_, request);
  }
  Status DeleteRequest(const std::string& id) override { return store::DeleteRequest(db_, id); }
  Status AppendEvent(const Event& event) override { return store::AppendEvent(db_, event); }
  Status TrimEvents(int64_t keep) override { return store::TrimEvents(db_, keep); }

 private:
  Connection& db_;
};

Status QueueFull(size_t max_queued) {
  return MakeError(StatusCode::kUnavailable,
                   StrCat("the store has ", max_queued, " writes waiting and takes no more"),
                   {.reason = "STORE_QUEUE_FULL",
                    .constraint = "store.max_queued_writes",
                    .needed = "1 write",
                    .available = "0 writes",
                    .retry_after = std::chrono::milliseconds(100)});
}

}  // namespace

Writer::Writer(std::unique_ptr<Connection> connection, size_t max_queued)
    : connection_(std::move(connection)),
      transaction_(std::make_unique<RecordTransaction>(*connection_)),
      max_queued_(max_queued),
      thread_([this] { Run(); }) {}

Writer::~Writer() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void Writer::Write(Body body, Done done) {
  {
    const std::lock_guard lock(mutex_);
    if (queue_.size() < max_queued_) {
      queue_.push_back({.body = std::move(body), .done = std::move(done), .status = {}});
      body = nullptr;
      done = nullptr;
    }
  }
  wake_.notify_one();
  if (done) done(QueueFull(max_queued_));
}

Store::Counters Writer::counters() const {
  const std::lock_guard lock(mutex_);
  return counters_;
}

void Writer::Run() {
  while (true) {
    std::vector<Item> group;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) return;
      group.swap(queue_);
    }
    RunGroup(group);
  }
}

void Writer::RunGroup(std::vector<Item>& group) {
  size_t next = 0;
  while (next < group.size()) next = RunTransaction(group, next);
}

// Runs bodies from `first` on in one transaction and answers to them. Returns the first that was
// not run: the transaction ends early if SQLite takes it back, as it may when the disk is full.
size_t Writer::RunTransaction(std::vector<Item>& group, size_t first) {
  Status committed = connection_->Guard("begin", [&] { connection_->Execute("BEGIN IMMEDIATE"); });
  size_t end = first;
  bool any = false;
  while (committed.ok() && end < group.size()) {
    Item& item = group[end++];
    item.status = RunBody(item.body);
    any = any || item.status.ok();
    if (!connection_->InTransaction()) {
      committed = item.status.ok() ? Internal("the transaction was lost") : item.status;
    }
  }
  if (end == first) end = group.size();  // it could not even begin: the answer to all of them
  if (committed.ok() && any) committed = Commit();
  connection_->Abandon();
  Finish(group, first, end, committed);
  return end;
}

Status Writer::RunBody(const Body& body) {
  const Status status = connection_->Guard("write", [&]() -> Status {
    connection_->Execute("SAVEPOINT body");
    RETURN_IF_ERROR(body(*transaction_));
    connection_->Execute("RELEASE body");
    return absl::OkStatus();
  });
  if (status.ok() || !connection_->InTransaction()) return status;
  const Status undone =
      connection_->Guard("undo", [&] { connection_->Execute("ROLLBACK TO body; RELEASE body"); });
  // What cannot be taken back alone is taken back with its group.
  if (!undone.ok()) connection_->Abandon();
  return status;
}

Status Writer::Commit() {
  return connection_->Guard("commit", [&] { connection_->Execute("COMMIT"); });
}

void Writer::Finish(std::vector<Item>& group, size_t first, size_t end, const Status& committed) {
  int64_t written = 0;
  for (size_t i = first; i < end; ++i) {
    if (group[i].status.ok()) group[i].status = committed;
    if (group[i].status.ok()) ++written;
  }
  if (written > 0) {
    const std::lock_guard lock(mutex_);
    counters_.writes += written;
    ++counters_.commits;
  }
  for (size_t i = first; i < end; ++i) {
    const Item item = std::exchange(group[i], {});  // what it captured goes with the answer
    item.done(item.status);
  }
}

}  // namespace claw::store
