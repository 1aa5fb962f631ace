#include "agent/model/json.h"
#include "store/records.h"

namespace claw::store {
namespace {

constexpr Table kNetworkPolicies{.name = "network_policies", .key = "name"};

}  // namespace

Status PutNetworkPolicy(Connection& db, const NamedNetworkPolicy& named) {
  return PutRow(db, kNetworkPolicies, named.name, ToJson(named));
}

Status DeleteNetworkPolicy(Connection& db, const std::string& name) {
  return DeleteRow(db, kNetworkPolicies, name);
}

Status LoadNetworkPolicies(Connection& db, BadRows& bad,
                           std::vector<NamedNetworkPolicy>& policies) {
  return LoadRows(db, kNetworkPolicies, bad,
                  [&](const std::string& key, const std::string& body) -> Status {
                    ASSIGN_OR_RETURN(NamedNetworkPolicy named, NamedNetworkPolicyFromJson(body));
                    if (named.name != key) return DataLoss("the record is of another policy");
                    // What could not be put in force is not to be found out when it has to be.
                    RETURN_IF_ERROR(ValidateNetworkPolicy(named.policy, "policy"));
                    policies.push_back(std::move(named));
                    return absl::OkStatus();
                  });
}

}  // namespace claw::store
