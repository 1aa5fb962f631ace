#include "agent/model/json.h"
#include "agent/model/json_reader.h"

namespace claw {

using json::Get;
using json::GetTime;
using json::Json;

std::string ToJson(const NodeState& state) {
  return json::Dump({{"cordoned", state.cordoned},
                     {"cordon_reason", state.cordon_reason},
                     {"cordoned_by", state.cordoned_by},
                     {"cordoned_at", ToMicros(state.cordoned_at)},
                     {"controller_generation", state.controller_generation}});
}

StatusOr<NodeState> NodeStateFromJson(std::string_view text) {
  return json::Parse<NodeState>("node state", text, [](const Json& json, NodeState& state) {
    Get(json, "cordoned", state.cordoned);
    Get(json, "cordon_reason", state.cordon_reason);
    Get(json, "cordoned_by", state.cordoned_by);
    GetTime(json, "cordoned_at", state.cordoned_at);
    Get(json, "controller_generation", state.controller_generation);
  });
}

}  // namespace claw
