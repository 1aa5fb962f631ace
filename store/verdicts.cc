#include "agent/model/json.h"
#include "store/records.h"

namespace claw::store {
namespace {

constexpr Table kVerdicts{.name = "verdicts", .key = "key"};

}  // namespace

Status PutVerdict(Connection& db, const CompatVerdict& verdict) {
  return PutRow(db, kVerdicts, VerdictKey(verdict), ToJson(verdict));
}

Status DeleteVerdict(Connection& db, const std::string& key) {
  return DeleteRow(db, kVerdicts, key);
}

Status LoadVerdicts(Connection& db, BadRows& bad, std::vector<CompatVerdict>& verdicts) {
  return LoadRows(db, kVerdicts, bad,
                  [&](const std::string& key, const std::string& body) -> Status {
                    ASSIGN_OR_RETURN(CompatVerdict verdict, CompatVerdictFromJson(body));
                    if (VerdictKey(verdict) != key) {
                      return DataLoss("the record is about another image or runtime");
                    }
                    verdicts.push_back(std::move(verdict));
                    return absl::OkStatus();
                  });
}

}  // namespace claw::store
