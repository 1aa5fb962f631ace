#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/status.h"
#include "store/connection.h"
#include "store/store.h"

namespace claw::store {

// A table of records: a text key, the record as JSON (`body`), and a checksum over both.
struct Table {
  const char* name;
  const char* key;  // its column, or an expression over the key columns
};

// CRC-32 of the key, a zero byte and the body.
uint32_t Checksum(std::string_view key, std::string_view body);

// Inserts the row, or replaces the one with this key.
Status PutRow(Connection& db, const Table& table, const std::string& key, const std::string& body);

// Removes the row; OK if there is none.
Status DeleteRow(Connection& db, const Table& table, const std::string& key);

// A row that cannot be read.
struct BadRow {
  Table table;
  int64_t rowid;
  std::string what;  // "sandboxes/…", fit to be shown
  std::string why;
};

// Hands every sound row to `decode`, in the order of rowid. Rows whose checksum does not match, and
// those that decode refuses, are added to `bad` instead. Errors are those of SQLite.
using Decode = std::function<Status(const std::string& key, const std::string& body)>;
Status LoadRows(Connection& db, const Table& table, std::vector<BadRow>& bad, const Decode& decode);

// Moves the rows to the table `quarantine`, all of them or none.
StatusOr<std::vector<Quarantined>> QuarantineRows(Connection& db, const std::vector<BadRow>& bad,
                                                  Time now);

}  // namespace claw::store
