#include "store/records.h"

namespace claw::store {
namespace {

constexpr Table kMeta{.name = "meta", .key = "key"};

StatusOr<int64_t> ParseMeta(const std::string& body) {
  int64_t value = 0;
  if (!ParseInt(body, &value)) return DataLoss("'", body, "' is not a number");
  return value;
}

}  // namespace

Status PutMeta(Connection& db, const std::string& key, int64_t value) {
  return PutRow(db, kMeta, key, StrCat(value));
}

StatusOr<std::optional<int64_t>> GetMeta(Connection& db, const std::string& key) {
  std::optional<int64_t> value;
  RETURN_IF_ERROR(db.Guard(StrCat("read meta/", key), [&]() -> Status {
    Query query = db.Prepare("SELECT body FROM meta WHERE key = ?");
    query->bind(1, key);
    if (!query->executeStep()) return absl::OkStatus();
    ASSIGN_OR_RETURN(value, ParseMeta(query->getColumn(0).getString()));
    return absl::OkStatus();
  }));
  return value;
}

StatusOr<std::optional<int64_t>> GetSoundMeta(Connection& db, const std::string& key) {
  std::optional<int64_t> value;
  RETURN_IF_ERROR(db.Guard(StrCat("read meta/", key), [&] {
    Query query = db.Prepare("SELECT body, checksum FROM meta WHERE key = ?");
    query->bind(1, key);
    if (!query->executeStep()) return;
    const std::string body = query->getColumn(0).getString();
    if (query->getColumn(1).getInt64() != int64_t{Checksum(key, body)}) return;
    const auto parsed = ParseMeta(body);
    if (parsed.ok()) value = *parsed;
  }));
  return value;
}

Status CheckMeta(Connection& db, BadRows& bad) {
  return LoadRows(db, kMeta, bad, [](const std::string&, const std::string& body) {
    return ParseMeta(body).status();
  });
}

}  // namespace claw::store
