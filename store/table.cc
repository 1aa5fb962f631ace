#include "store/table.h"

#include <absl/strings/escaping.h>
#include <zlib.h>

#include "agent/base/utf8.h"

namespace claw::store {
namespace {

uint32_t AddToCrc(uint32_t crc, std::string_view data) {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): zlib takes unsigned bytes
  const auto* bytes = reinterpret_cast<const Bytef*>(data.data());
  return static_cast<uint32_t>(crc32_z(crc, bytes, data.size()));
}

// A key as it was found may hold anything, and it goes into answers that must be UTF-8.
std::string Printable(const std::string& key) { return IsUtf8(key) ? key : absl::CHexEscape(key); }

}  // namespace

uint32_t Checksum(std::string_view key, std::string_view body) {
  return AddToCrc(AddToCrc(AddToCrc(0, key), std::string_view("\0", 1)), body);
}

Status PutRow(Connection& db, const Table& table, const std::string& key, const std::string& body) {
  return db.Guard(StrCat("write ", table.name, "/", Printable(key)), [&] {
    Query query = db.Prepare(StrCat("INSERT INTO ", table.name, " (", table.key,
                                    ", body, checksum) VALUES (?, ?, ?) ON CONFLICT (", table.key,
                                    ") DO UPDATE SET body = excluded.body,"
                                    " checksum = excluded.checksum"));
    query->bind(1, key);
    query->bind(2, body);
    query->bind(3, static_cast<int64_t>(Checksum(key, body)));
    query->exec();
  });
}

Status DeleteRow(Connection& db, const Table& table, const std::string& key) {
  return db.Guard(StrCat("delete ", table.name, "/", Printable(key)), [&] {
    Query query = db.Prepare(StrCat("DELETE FROM ", table.name, " WHERE ", table.key, " = ?"));
    query->bind(1, key);
    query->exec();
  });
}

Status LoadRows(Connection& db, const Table& table, std::vector<BadRow>& bad,
                const Decode& decode) {
  return db.Guard(StrCat("load the table ", table.name), [&] {
    Query query = db.Prepare(StrCat("SELECT rowid, ", table.key, ", body, checksum FROM ",
                                    table.name, " ORDER BY rowid"));
    while (query->executeStep()) {
      const std::string key = query->getColumn(1).getString();
      const std::string body = query->getColumn(2).getString();
      const bool sound = query->getColumn(3).getInt64() == int64_t{Checksum(key, body)};
      const Status status = sound ? decode(key, body) : DataLoss("the checksum does not match");
      if (status.ok()) continue;
      bad.push_back({.table = table,
                     .rowid = query->getColumn(0).getInt64(),
                     .what = StrCat(table.name, "/", Printable(key)),
                     .why = std::string(ToStd(status.message()))});
    }
  });
}

StatusOr<std::vector<Quarantined>> QuarantineRows(Connection& db, const std::vector<BadRow>& bad,
                                                  Time now) {
  std::vector<Quarantined> moved;
  if (bad.empty()) return moved;
  RETURN_IF_ERROR(db.InOwnTransaction("set unreadable rows aside", [&] {
    for (const BadRow& row : bad) {
      // Copied inside SQLite, so that the values keep whatever type they have now.
      Query copy = db.Prepare(StrCat(
          "INSERT INTO quarantine (from_table, key, body, checksum, why, moved_at_us) SELECT '",
          row.table.name, "', ", row.table.key, ", body, checksum, ?, ? FROM ", row.table.name,
          " WHERE rowid = ? RETURNING id"));
      copy->bind(1, row.why);
      copy->bind(2, ToMicros(now));
      copy->bind(3, row.rowid);
      copy->executeStep();
      const int64_t id = copy->getColumn(0).getInt64();
      copy->reset();
      Query remove = db.Prepare(StrCat("DELETE FROM ", row.table.name, " WHERE rowid = ?"));
      remove->bind(1, row.rowid);
      remove->exec();
      moved.push_back(
          {.what = row.what, .why = row.why, .where = StrCat("table quarantine, row ", id)});
    }
    return absl::OkStatus();
  }));
  return moved;
}

}  // namespace claw::store
