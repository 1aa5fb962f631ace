#include "agent/model/json.h"
#include "store/records.h"

namespace claw::store {
namespace {

constexpr Table kNodeState{.name = "node_state", .key = "key"};
constexpr const char* kOnlyKey = "node";

}  // namespace

Status PutNodeState(Connection& db, const NodeState& state) {
  return PutRow(db, kNodeState, kOnlyKey, ToJson(state));
}

Status LoadNodeState(Connection& db, BadRows& bad, std::optional<NodeState>& state) {
  return LoadRows(db, kNodeState, bad,
                  [&](const std::string& key, const std::string& body) -> Status {
                    if (key != kOnlyKey) return DataLoss("the record is of no node");
                    ASSIGN_OR_RETURN(state, NodeStateFromJson(body));
                    return absl::OkStatus();
                  });
}

}  // namespace claw::store
