#include "store/connection.h"

#include <SQLiteCpp/Exception.h>
#include <sqlite3.h>

#include "store/sqlite_error.h"

namespace claw::store {
namespace {

// Somebody's sqlite3 shell may hold a lock for a moment.
constexpr int kBusyTimeoutMs = 1000;

// A WAL that a burst made long is cut back to this when it is reused.
constexpr const char* kWriterPragmas =
    "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;"
    "PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON;"
    "PRAGMA journal_size_limit = 8388608;";
constexpr const char* kReaderPragmas =
    "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;"
    "PRAGMA wal_autocheckpoint = 0;";

}  // namespace

StatusOr<std::unique_ptr<Connection>> Connection::Open(const std::filesystem::path& path,
                                                       Mode mode) {
  const bool writer = mode == Mode::kWriter;
  const int flags = writer ? SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE : SQLite::OPEN_READONLY;
  try {
    auto connection =
        std::make_unique<Connection>(SQLite::Database(path.string(), flags, kBusyTimeoutMs), path);
    connection->Execute(writer ? kWriterPragmas : kReaderPragmas);
    return connection;
  } catch (const SQLite::Exception& error) {
    return FromSqlite(error, 0, path, "open the database");
  } catch (const std::exception& error) {
    return Internal("open ", path.string(), ": ", error.what());
  }
}

Connection::Connection(SQLite::Database database, std::filesystem::path path)
    : path_(std::move(path)), database_(std::move(database)) {}

Query Connection::Prepare(const std::string& sql) {
  auto it = statements_.find(sql);
  if (it == statements_.end()) {
    it = statements_.emplace(sql, SQLite::Statement(database_, sql)).first;
  }
  it->second.tryReset();
  it->second.clearBindings();
  return Query(it->second);
}

void Connection::Execute(const std::string& sql) { database_.exec(sql); }

bool Connection::InTransaction() const {
  return sqlite3_get_autocommit(database_.getHandle()) == 0;
}

bool Connection::ReadOnly() const {
  return sqlite3_db_readonly(database_.getHandle(), "main") == 1;
}

void Connection::Abandon() noexcept {
  if (InTransaction()) database_.tryExec("ROLLBACK");
}

Status Connection::CurrentException(std::string_view doing) const {
  try {
    throw;
  } catch (const SQLite::Exception& error) {
    return FromSqlite(error, sqlite3_system_errno(database_.getHandle()), path_, doing);
  } catch (const std::bad_alloc&) {
    return MakeError(StatusCode::kResourceExhausted, StrCat(doing, ": out of memory"),
                     {.reason = "OUT_OF_MEMORY"});
  } catch (const std::exception& error) {
    return Internal(doing, ": ", error.what());
  } catch (...) {
    return Internal(doing, ": an unknown exception");
  }
}

}  // namespace claw::store
