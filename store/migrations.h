#pragma once

#include <string_view>

#include "agent/base/status.h"
#include "store/connection.h"

namespace claw::store {

// The schema this program writes. A database says which one it has in two places: `PRAGMA
// user_version` in the header, and `schema_version` in the table meta.
int LatestSchemaVersion();

// FAILED_PRECONDITION, reason SCHEMA_TOO_NEW, if a newer program has migrated this database. Needs
// nothing but the file's header and the table meta, so it is asked before anything that could not
// cope with a newer schema.
Status CheckSchemaVersion(Connection& db);

// Brings the database to the latest version, each step in a transaction of its own. A crash between
// steps is carried on from at the next start. A header that a flipped bit has spoilt is repaired if
// the tables are those that meta says; if they are not, the answer is an IsCorrupt error.
Status Migrate(Connection& db);

}  // namespace claw::store
