#pragma once

#include <string_view>

#include "agent/base/status.h"
#include "store/connection.h"

namespace claw::store {

// The schema this program writes (`PRAGMA user_version`).
int LatestSchemaVersion();

// FAILED_PRECONDITION, reason SCHEMA_TOO_NEW, if a newer program has migrated this database. Needs
// nothing but the file's header, so it is asked before anything that could not cope with a newer
// schema.
Status CheckSchemaVersion(Connection& db);

// Brings the database to the latest version, each step in a transaction of its own. A crash between
// steps is carried on from at the next start.
Status Migrate(Connection& db);

}  // namespace claw::store
