#include "store/store.h"

#include <mutex>
#include <utility>

#include "store/connection.h"
#include "store/migrations.h"
#include "store/records.h"
#include "store/recover.h"
#include "store/sqlite_error.h"
#include "store/writer.h"

namespace claw::store {
namespace {

// A database that has been opened, checked, migrated and read.
struct Loaded {
  std::unique_ptr<Connection> writer{};
  Snapshot snapshot{};
  std::vector<Quarantined> quarantined{};
};

Status EnterWalMode(Connection& db) {
  std::string mode;
  RETURN_IF_ERROR(db.Guard("switch to write-ahead logging", [&] {
    Query query = db.Prepare("PRAGMA journal_mode = WAL");
    if (query->executeStep()) mode = query->getColumn(0).getString();
  }));
  if (mode == "wal") return absl::OkStatus();
  return FailedPrecondition("the database cannot use write-ahead logging here, only ", mode);
}

Status LoadRecords(Connection& db, bool new_after_loss, Time now, Loaded& loaded) {
  BadRows bad;
  RETURN_IF_ERROR(CheckMeta(db, bad));
  const bool lost = new_after_loss || !bad.empty();
  RETURN_IF_ERROR(LoadTenants(db, bad, loaded.snapshot.tenants));
  RETURN_IF_ERROR(LoadSandboxes(db, bad, loaded.snapshot.sandboxes));
  RETURN_IF_ERROR(LoadImages(db, bad, loaded.snapshot.images));
  RETURN_IF_ERROR(LoadVerdicts(db, bad, loaded.snapshot.verdicts));
  RETURN_IF_ERROR(LoadOverrides(db, bad, loaded.snapshot.overrides));
  RETURN_IF_ERROR(LoadVms(db, bad, loaded.snapshot.vms));
  RETURN_IF_ERROR(LoadNetworkPolicies(db, bad, loaded.snapshot.network_policies));
  RETURN_IF_ERROR(LoadOverheads(db, bad, loaded.snapshot.overheads));
  RETURN_IF_ERROR(LoadUsages(db, bad, loaded.snapshot.usages));
  RETURN_IF_ERROR(LoadNodeState(db, bad, loaded.snapshot.node_state));
  RETURN_IF_ERROR(LoadRequests(db, bad, loaded.snapshot.requests));
  RETURN_IF_ERROR(CheckEvents(db, bad));
  ASSIGN_OR_RETURN(loaded.quarantined, QuarantineRows(db, bad, now));
  ASSIGN_OR_RETURN(const Revisions revisions, LoadRevisions(db, lost, now));
  loaded.snapshot.last_revision = revisions.last;
  return absl::OkStatus();
}

Status LoadSound(const std::filesystem::path& path, bool new_after_loss, Time now, Loaded& loaded) {
  ASSIGN_OR_RETURN(loaded.writer, Connection::Open(path, Connection::Mode::kWriter));
  Connection& db = *loaded.writer;
  RETURN_IF_ERROR(CheckSchemaVersion(db));
  RETURN_IF_ERROR(CheckIntegrity(db));
  RETURN_IF_ERROR(CheckWritable(db, path));
  RETURN_IF_ERROR(EnterWalMode(db));
  RETURN_IF_ERROR(Migrate(db));
  return LoadRecords(db, new_after_loss, now, loaded);
}

StatusOr<Loaded> Load(const std::filesystem::path& path, Time now) {
  ASSIGN_OR_RETURN(const bool new_after_loss, WasMovedAside(path));
  Loaded loaded;
  const Status status = LoadSound(path, new_after_loss, now, loaded);
  // These are not the tables of this file's version. Any other error leaves the file alone: a disk
  // that cannot be read now, a lock or a lack of memory says nothing about the records.
  if (IsSqlError(status)) return CorruptError(ToStd(status.message()));
  RETURN_IF_ERROR(status);
  return loaded;
}

class SqliteStore final : public Store {
 public:
  SqliteStore(UniqueFd lock, Loaded loaded, std::unique_ptr<Connection> reader, size_t max_queued)
      : lock_(std::move(lock)),
        snapshot_(std::move(loaded.snapshot)),
        quarantined_(std::move(loaded.quarantined)),
        writer_(std::move(loaded.writer), max_queued),
        reader_(std::move(reader)) {}

  Snapshot TakeSnapshot() override { return std::exchange(snapshot_, {}); }
  const std::vector<Quarantined>& quarantined() const override { return quarantined_; }

  void Write(std::function<Status(Transaction&)> body, std::function<void(Status)> done) override {
    writer_.Write(std::move(body), std::move(done));
  }

  StatusOr<std::vector<Event>> ReadEvents(const EventQuery& query) override {
    const std::lock_guard lock(reader_mutex_);
    return store::ReadEvents(*reader_, query);
  }

  Counters counters() const override { return writer_.counters(); }

 private:
  // In the order in which they may go: the reader, the writer (it checkpoints as the last
  // connection), the lock.
  UniqueFd lock_;
  Snapshot snapshot_;
  const std::vector<Quarantined> quarantined_;
  Writer writer_;
  std::mutex reader_mutex_{};
  std::unique_ptr<Connection> reader_;  // guarded by reader_mutex_
};

StatusOr<std::unique_ptr<Store>> OpenStore(const Options& options) {
  const Time now = SystemClock().Now();
  ASSIGN_OR_RETURN(UniqueFd lock, LockDatabase(options.path));
  ASSIGN_OR_RETURN(std::optional<Quarantined> moved, PrepareFile(options.path, now));
  StatusOr<Loaded> loaded = Load(options.path, now);
  if (IsCorrupt(loaded.status())) {
    ASSIGN_OR_RETURN(moved, MoveAside(options.path, ToStd(loaded.status().message()), now));
    RETURN_IF_ERROR(PrepareFile(options.path, now).status());
    loaded = Load(options.path, now);
  }
  RETURN_IF_ERROR(loaded.status());
  if (moved) loaded->quarantined.push_back(*std::move(moved));
  ASSIGN_OR_RETURN(auto reader, Connection::Open(options.path, Connection::Mode::kReader));
  return std::make_unique<SqliteStore>(std::move(lock), *std::move(loaded), std::move(reader),
                                       options.max_queued_writes);
}

}  // namespace

StatusOr<std::unique_ptr<Store>> Store::Open(const Options& options) {
  try {
    auto store = OpenStore(options);
    if (store.ok()) return store;
    return Annotate(store.status(), StrCat("open the store ", options.path.string()));
  } catch (const std::exception& error) {  // no thread, no memory
    return Internal("open the store ", options.path.string(), ": ", error.what());
  }
}

}  // namespace claw::store
