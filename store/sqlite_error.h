#pragma once

#include <SQLiteCpp/Exception.h>

#include <filesystem>
#include <string_view>

#include "agent/base/status.h"

namespace claw::store {

// What SQLite said about the database at `path`, as a status:
//   RESOURCE_EXHAUSTED  DISK_FULL (with the free bytes and a delay) or OUT_OF_MEMORY
//   UNAVAILABLE         DATABASE_BUSY: somebody else holds a lock
//   DATA_LOSS           DATABASE_CORRUPT, or DISK_IO_ERROR when a read, a write or a sync failed
//   INTERNAL            SQL_ERROR: the statement does not fit the tables; or what nobody expects
//   PERMISSION_DENIED, FAILED_PRECONDITION, ALREADY_EXISTS, INVALID_ARGUMENT
// `system_errno` is that of the last failed system call, 0 if it is not known.
Status FromSqlite(const SQLite::Exception& error, int system_errno,
                  const std::filesystem::path& path, std::string_view doing);

// DATA_LOSS, reason DATABASE_CORRUPT: the file as a whole cannot be trusted.
Status CorruptError(std::string_view message);
bool IsCorrupt(const Status& status);

// SQLite's plain error. It is what it says of a format that it does not know, and of a table that
// is not there, or there already.
bool IsSqlError(const Status& status);

}  // namespace claw::store
