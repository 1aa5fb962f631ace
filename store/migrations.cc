#include "store/migrations.h"

#include <array>

#include "store/sqlite_error.h"

namespace claw::store {
namespace {

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

Status Apply(Connection& db, const Migration& step) {
  return db.InOwnTransaction(StrCat("migrate to schema ", step.version, " (", step.what, ")"), [&] {
    db.Execute(step.sql);
    db.Execute(StrCat("PRAGMA user_version = ", step.version));
    return absl::OkStatus();
  });
}

}  // namespace

int LatestSchemaVersion() { return kMigrations.back().version; }

Status CheckSchemaVersion(Connection& db) {
  ASSIGN_OR_RETURN(const int version, SchemaVersion(db));
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
  ASSIGN_OR_RETURN(const int version, SchemaVersion(db));
  ASSIGN_OR_RETURN(const bool blank, IsBlank(db));
  if (version < 0 || blank != (version == 0)) {
    return CorruptError(StrCat("schema version ", version, " does not fit the tables in the file"));
  }
  for (const Migration& step : kMigrations) {
    if (step.version <= version) continue;
    RETURN_IF_ERROR(Apply(db, step));
  }
  return absl::OkStatus();
}

}  // namespace claw::store
