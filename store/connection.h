#pragma once

#include <SQLiteCpp/Database.h>
#include <SQLiteCpp/Statement.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "agent/base/status.h"

namespace claw::store {

// A prepared statement on loan. It is reset at the end of the scope, so that no half-read SELECT
// keeps a snapshot of the database alive.
class Query {
 public:
  explicit Query(SQLite::Statement& statement) : statement_(statement) {}
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;
  ~Query() { statement_.tryReset(); }

  SQLite::Statement* operator->() { return &statement_; }

 private:
  SQLite::Statement& statement_;
};

// One connection and its prepared statements. For one thread at a time.
//
// Nothing else in this process may open and close the database file while a connection is open:
// closing any descriptor of it drops SQLite's POSIX locks.
class Connection {
 public:
  enum class Mode {
    kWriter,  // makes the file if needed; checkpoints
    kReader,  // read-only, never checkpoints; the writer has to be open
  };
  // Opens the file without looking into it: what is wrong with its content shows later.
  static StatusOr<std::unique_ptr<Connection>> Open(const std::filesystem::path& path, Mode mode);

  Connection(SQLite::Database database, std::filesystem::path path);

  // Prepared once for each text; without bindings. Throws SQLite::Exception: call it under Guard.
  Query Prepare(const std::string& sql);

  // Runs statements that answer nothing. Throws SQLite::Exception.
  void Execute(const std::string& sql);

  // False after COMMIT and ROLLBACK, and after an error that made SQLite roll back by itself.
  [[nodiscard]] bool InTransaction() const;

  // Whether SQLite will not write to the file; known once something has been read from it.
  [[nodiscard]] bool ReadOnly() const;

  // Runs fn (void or Status) and turns an exception into an error that says what was being done.
  template <typename Fn>
  Status Guard(std::string_view doing, Fn&& fn) const {
    try {
      if constexpr (std::is_void_v<std::invoke_result_t<Fn>>) {
        std::forward<Fn>(fn)();
        return absl::OkStatus();
      } else {
        return std::forward<Fn>(fn)();
      }
    } catch (...) {
      return CurrentException(doing);
    }
  }

  // Runs fn in a transaction of its own; takes everything back if it fails.
  template <typename Fn>
  Status InOwnTransaction(std::string_view doing, Fn&& fn) {
    const Status status = Guard(doing, [&]() -> Status {
      Execute("BEGIN IMMEDIATE");
      RETURN_IF_ERROR(fn());
      Execute("COMMIT");
      return absl::OkStatus();
    });
    if (!status.ok()) Abandon();
    return status;
  }

  // Rolls back if a transaction is open.
  void Abandon() noexcept;

 private:
  Status CurrentException(std::string_view doing) const;

  std::filesystem::path path_;
  SQLite::Database database_;
  std::map<std::string, SQLite::Statement, std::less<>> statements_{};
};

}  // namespace claw::store
