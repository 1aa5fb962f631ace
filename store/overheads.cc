#include "agent/model/json.h"
#include "store/records.h"

namespace claw::store {
namespace {

constexpr Table kOverheads{.name = "overheads", .key = "key"};

}  // namespace

Status PutOverhead(Connection& db, const OverheadRecord& record) {
  return PutRow(db, kOverheads, OverheadKey(record), ToJson(record));
}

Status DeleteOverhead(Connection& db, const std::string& key) {
  return DeleteRow(db, kOverheads, key);
}

Status LoadOverheads(Connection& db, BadRows& bad, std::vector<OverheadRecord>& overheads) {
  return LoadRows(db, kOverheads, bad,
                  [&](const std::string& key, const std::string& body) -> Status {
                    ASSIGN_OR_RETURN(OverheadRecord record, OverheadRecordFromJson(body));
                    if (OverheadKey(record) != key) {
                      return DataLoss("the record is about another class of sandboxes");
                    }
                    overheads.push_back(std::move(record));
                    return absl::OkStatus();
                  });
}

}  // namespace claw::store
