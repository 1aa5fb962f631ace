#include "store/migrations.h"

#include <array>
#include <optional>

#include "store/records.h"
#include "store/sqlite_error.h"

namespace claw::store {
namespace {

constexpr const char* kSchemaVersion = "schema_version";

struct Migration {
  int version;
  const char* what;
  const char* sql;
};

// Steps are only ever added, and a step that has been released never changes. For each there is a
// database of the version before it in tests/unit/store/testdata.
//
// Columns beside the keys carry no constraint on purpose: a row that a flipped bit has spoilt must
// stay readable, so that it alone is set aside and not the whole file.
constexpr std::array kMigrations = {
    Migration{1, "the records",
              R"(CREATE TABLE meta      (key        TEXT PRIMARY KEY, body TEXT, checksum INTEGER);
                 CREATE TABLE tenants   (name       TEXT PRIMARY KEY, body TEXT, checksum INTEGER);
                 CREATE TABLE sandboxes (id         TEXT PRIMARY KEY, body TEXT, checksum INTEGER);
                 CREATE TABLE images    (digest     TEXT PRIMARY KEY, body TEXT, checksum INTEGER);
                 CREATE TABLE requests  (request_id TEXT PRIMARY KEY, body TEXT, checksum INTEGER);
                 CREATE TABLE events    (revision INTEGER PRIMARY KEY, subject TEXT, body TEXT,
                                         checksum INTEGER);)"},
    Migration{2, "the events of one subject without a scan; a place for rows that are unreadable",
              R"(CREATE INDEX events_by_subject ON events (subject);
                 CREATE TABLE quarantine (id INTEGER PRIMARY KEY, from_table TEXT, key TEXT,
                                          body TEXT, checksum INTEGER, why TEXT,
                                          moved_at_us INTEGER);)"},
    Migration{3, "which images work under gVisor, and what is to be done whatever is known",
              R"(CREATE TABLE verdicts  (key TEXT PRIMARY KEY, body TEXT, checksum INTEGER);
                 CREATE TABLE overrides (image_digest TEXT PRIMARY KEY, body TEXT,
                                         checksum INTEGER);)"},
    Migration{4, "what the runtimes have been measured to cost",
              R"(CREATE TABLE overheads (key TEXT PRIMARY KEY, body TEXT, checksum INTEGER);)"},
    Migration{5, "what tenants have been charged",
              R"(CREATE TABLE usages (tenant TEXT PRIMARY KEY, body TEXT, checksum INTEGER);)"},
    Migration{6, "what the node remembers of itself",
              R"(CREATE TABLE node_state (key TEXT PRIMARY KEY, body TEXT, checksum INTEGER);)"},
    Migration{7, "what tenants may do on the network",
              R"(CREATE TABLE network_policies (name TEXT PRIMARY KEY, body TEXT,
                                                checksum INTEGER);)"},
    Migration{8, "the host's virtual machines",
              R"(CREATE TABLE vms (name TEXT PRIMARY KEY, body TEXT, checksum INTEGER);)"},
};

StatusOr<int> SchemaVersion(Connection& db) {
  int version = 0;
  RETURN_IF_ERROR(db.Guard("read the schema version", [&] {
    Query query = db.Prepare("PRAGMA user_version");
    query->executeStep();
    version = query->getColumn(0).getInt();
  }));
  return version;
}

StatusOr<bool> IsBlank(Connection& db) {
  bool blank = false;
  RETURN_IF_ERROR(db.Guard("read the schema", [&] {
    Query query = db.Prepare("SELECT count(*) FROM sqlite_master");
    query->executeStep();
    blank = query->getColumn(0).getInt() == 0;
  }));
  return blank;
}

// Every table and index, as the statement that made it.
StatusOr<std::string> Schema(Connection& db) {
  std::string schema;
  RETURN_IF_ERROR(db.Guard("read the schema", [&] {
    Query query = db.Prepare("SELECT sql FROM sqlite_master WHERE sql NOT NULL ORDER BY name");
    while (query->executeStep()) schema.append(query->getColumn(0).getString()).append(";\n");
  }));
  return schema;
}

Status Record(Connection& db, int version) {
  db.Execute(StrCat("PRAGMA user_version = ", version));
  return PutMeta(db, kSchemaVersion, version);
}

Status Apply(Connection& db, const Migration& step) {
  return db.InOwnTransaction(StrCat("migrate to schema ", step.version, " (", step.what, ")"),
                             [&]() -> Status {
                               db.Execute(step.sql);
                               return Record(db, step.version);
                             });
}

Status ApplyFrom(Connection& db, int version, int last) {
  for (const Migration& step : kMigrations) {
    if (step.version > version && step.version <= last) RETURN_IF_ERROR(Apply(db, step));
  }
  return absl::OkStatus();
}

// Whether the file has just the tables of that version.
StatusOr<bool> TablesFit(Connection& db, int version) {
  ASSIGN_OR_RETURN(const auto model, Connection::Open(":memory:", Connection::Mode::kWriter));
  RETURN_IF_ERROR(ApplyFrom(*model, 0, version));
  ASSIGN_OR_RETURN(const std::string wanted, Schema(*model));
  ASSIGN_OR_RETURN(const std::string found, Schema(db));
  return wanted == found;
}

// The two places where the version is kept. Nothing protects the header's; the record in meta has
// a checksum, and so it is the one to be believed.
struct Versions {
  int header = 0;
  std::optional<int64_t> recorded{};  // absent: not there, or not to be trusted

  int64_t believed() const { return recorded.value_or(header); }
};

StatusOr<Versions> ReadVersions(Connection& db) {
  Versions versions;
  ASSIGN_OR_RETURN(versions.header, SchemaVersion(db));
  // An older program's database has no such row, and a damaged one may not even have the table.
  const auto recorded = GetSoundMeta(db, kSchemaVersion);
  if (recorded.ok()) versions.recorded = *recorded;
  if (IsCorrupt(recorded.status()) || IsSqlError(recorded.status())) return versions;
  RETURN_IF_ERROR(recorded.status());
  return versions;
}

// A header that says something else than the record is damaged; with the right tables in the file
// nothing but that number is lost.
Status RepairHeader(Connection& db, int version) {
  ASSIGN_OR_RETURN(const bool fit, TablesFit(db, version));
  if (!fit) return CorruptError(StrCat("the tables are not those of schema version ", version));
  return db.InOwnTransaction("repair the schema version", [&] { return Record(db, version); });
}

}  // namespace

int LatestSchemaVersion() { return kMigrations.back().version; }

Status CheckSchemaVersion(Connection& db) {
  ASSIGN_OR_RETURN(const Versions versions, ReadVersions(db));
  const int64_t version = versions.believed();
  if (version <= LatestSchemaVersion()) return absl::OkStatus();
  return MakeError(
      StatusCode::kFailedPrecondition,
      StrCat("the database has schema version ", version, ", this clawlet knows versions up to ",
             LatestSchemaVersion(),
             ": start the newer clawlet that wrote it, or move the file away to begin anew"),
      {.reason = "SCHEMA_TOO_NEW",
       .constraint = "schema version",
       .needed = StrCat(version),
       .available = StrCat(LatestSchemaVersion())});
}

Status Migrate(Connection& db) {
  ASSIGN_OR_RETURN(const Versions versions, ReadVersions(db));
  const int version = static_cast<int>(versions.believed());
  ASSIGN_OR_RETURN(const bool blank, IsBlank(db));
  if (version < 0 || blank != (version == 0)) {
    return CorruptError(StrCat("schema version ", version, " does not fit the tables in the file"));
  }
  if (version != versions.header) RETURN_IF_ERROR(RepairHeader(db, version));
  RETURN_IF_ERROR(ApplyFrom(db, version, LatestSchemaVersion()));
  if (versions.recorded || version != LatestSchemaVersion()) return absl::OkStatus();
  return db.InOwnTransaction("record the schema version", [&] { return Record(db, version); });
}

}  // namespace claw::store
