#include "agent/model/json.h"
#include "store/records.h"

namespace claw::store {
namespace {

constexpr Table kTenants{.name = "tenants", .key = "name"};

}  // namespace

Status PutTenant(Connection& db, const Tenant& tenant) {
  return PutRow(db, kTenants, tenant.name, ToJson(tenant));
}

Status DeleteTenant(Connection& db, const std::string& name) {
  return DeleteRow(db, kTenants, name);
}

Status LoadTenants(Connection& db, BadRows& bad, std::vector<Tenant>& tenants) {
  return LoadRows(db, kTenants, bad,
                  [&](const std::string& key, const std::string& body) -> Status {
                    ASSIGN_OR_RETURN(Tenant tenant, TenantFromJson(body));
                    if (tenant.name != key) return DataLoss("the record names another tenant");
                    tenants.push_back(std::move(tenant));
                    return absl::OkStatus();
                  });
}

}  // namespace claw::store
