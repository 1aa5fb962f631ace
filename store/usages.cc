#include "agent/model/json.h"
#include "store/records.h"

namespace claw::store {
namespace {

constexpr Table kUsages{.name = "usages", .key = "tenant"};

StatusOr<TenantUsage> ReadUsage(const std::string& tenant, const std::string& body) {
  ASSIGN_OR_RETURN(TenantUsage usage, TenantUsageFromJson(body));
  if (usage.tenant != tenant) return DataLoss("the record is about another tenant");
  return usage;
}

}  // namespace

Status AddUsage(Connection& db, const TenantUsage& more) {
  TenantUsage sum{.tenant = more.tenant};
  RETURN_IF_ERROR(db.Guard(StrCat("read usages/", more.tenant), [&] {
    Query query = db.Prepare("SELECT body, checksum FROM usages WHERE tenant = ?");
    query->bind(1, more.tenant);
    if (!query->executeStep()) return;
    const std::string body = query->getColumn(0).getString();
    if (query->getColumn(1).getInt64() != int64_t{Checksum(more.tenant, body)}) return;
    const StatusOr<TenantUsage> found = ReadUsage(more.tenant, body);
    if (found.ok()) sum.charged = found->charged;
  }));
  sum.charged += more.charged;
  return PutRow(db, kUsages, sum.tenant, ToJson(sum));
}

Status DeleteUsage(Connection& db, const std::string& tenant) {
  return DeleteRow(db, kUsages, tenant);
}

Status LoadUsages(Connection& db, BadRows& bad, std::vector<TenantUsage>& usages) {
  return LoadRows(db, kUsages, bad, [&](const std::string& key, const std::string& body) -> Status {
    ASSIGN_OR_RETURN(TenantUsage usage, ReadUsage(key, body));
    usages.push_back(std::move(usage));
    return absl::OkStatus();
  });
}

}  // namespace claw::store
