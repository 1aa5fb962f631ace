#pragma once

#include <filesystem>
#include <optional>
#include <string_view>

#include "agent/base/clock.h"
#include "agent/base/status.h"
#include "agent/base/unique_fd.h"
#include "store/connection.h"
#include "store/store.h"

namespace claw::store {

// What is done about a database that is not as it should be, and to be its only user.

// Holds "<path>.lock" for as long as the descriptor is open; the kernel lets go when the process
// ends, however it ends. UNAVAILABLE if somebody else holds it.
StatusOr<UniqueFd> LockDatabase(const std::filesystem::path& path);

// Makes an empty file that only its owner may read, if there is none: the records hold the
// tenants' environments. Moves aside what cannot be ours before SQLite sees it: a file of no bytes
// (a disk that lost its content; SQLite would take it for new) and a log without its database.
StatusOr<std::optional<Quarantined>> PrepareFile(const std::filesystem::path& path, Time now);

// Renames the database with its log and index to "<name>.corrupt-<time>". No connection may be
// open.
StatusOr<Quarantined> MoveAside(const std::filesystem::path& path, std::string_view why, Time now);

// Whether a database of this name was ever moved aside.
StatusOr<bool> WasMovedAside(const std::filesystem::path& path);

// Reads the whole file. Indexes that do not fit their tables are built anew; anything else that is
// wrong is an IsCorrupt error.
Status CheckIntegrity(Connection& db);

// PERMISSION_DENIED if this process may not write to the file; IsCorrupt if it may, but the header
// says that this SQLite must not.
Status CheckWritable(const Connection& db, const std::filesystem::path& path);

}  // namespace claw::store
