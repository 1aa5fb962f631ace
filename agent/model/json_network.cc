#include "agent/model/json_network.h"

#include "agent/model/json.h"

namespace claw {
namespace json {
namespace {

// A rule is written as people write it. One that needs more than its text says is refused by
// ValidateNetworkPolicy.
Json RulesToJson(const std::vector<NetworkRule>& rules) {
  Json array = Json::array();
  for (const NetworkRule& rule : rules) array.push_back(ToString(rule));
  return array;
}

void ReadRules(const Json& json, const char* key, std::vector<NetworkRule>& rules) {
  std::vector<std::string> texts;
  Get(json, key, texts);
  for (const std::string& text : texts) {
    StatusOr<NetworkRule> rule = ParseNetworkRule(text);
    if (!rule.ok()) throw std::invalid_argument(std::string(rule.status().message()));
    rules.push_back(*std::move(rule));
  }
}

// What is not set does not show: the text of a spec is what a request is known again by.
Json PolicyToJson(const NetworkPolicy& policy) {
  Json json = Json::object();
  if (!policy.egress.empty()) json["egress"] = RulesToJson(policy.egress);
  if (!policy.ingress.empty()) json["ingress"] = RulesToJson(policy.ingress);
  if (policy.egress_bytes_per_second != 0) {
    json["egress_bytes_per_second"] = policy.egress_bytes_per_second;
  }
  if (policy.ingress_bytes_per_second != 0) {
    json["ingress_bytes_per_second"] = policy.ingress_bytes_per_second;
  }
  if (policy.connections_max != 0) json["connections_max"] = policy.connections_max;
  if (policy.dns) json["dns"] = true;
  return json;
}

void ReadPolicy(const Json& json, NetworkPolicy& policy) {
  ReadRules(json, "egress", policy.egress);
  ReadRules(json, "ingress", policy.ingress);
  Get(json, "egress_bytes_per_second", policy.egress_bytes_per_second);
  Get(json, "ingress_bytes_per_second", policy.ingress_bytes_per_second);
  Get(json, "connections_max", policy.connections_max);
  Get(json, "dns", policy.dns);
}

}  // namespace

Json ToJsonValue(const NetworkSpec& spec) {
  Json json = Json::object();
  if (spec.mode) json["mode"] = ToString(*spec.mode);
  if (spec.policy) json["policy"] = PolicyToJson(*spec.policy);
  for (const PortMapping& port : spec.ports) {
    json["ports"].push_back({{"host_port", port.host_port},
                             {"sandbox_port", port.sandbox_port},
                             {"protocol", ToString(port.protocol)},
                             {"host_address", port.host_address}});
  }
  return json;
}

Json ToJsonValue(const NetworkAttachment& attachment) {
  return {{"ipv4", attachment.ipv4},
          {"ipv6", attachment.ipv6},
          {"mac", attachment.mac},
          {"host_interface", attachment.host_interface},
          {"bridge", attachment.bridge}};
}

void Read(const Json& json, NetworkSpec& spec) {
  if (json.contains("mode")) GetEnum(json, "mode", spec.mode.emplace(), ParseNetworkMode);
  if (const auto it = json.find("policy"); it != json.end()) {
    ReadPolicy(*it, spec.policy.emplace());
  }
  for (const Json& entry : json.value("ports", Json::array())) {
    PortMapping& port = spec.ports.emplace_back();
    Get(entry, "host_port", port.host_port);
    Get(entry, "sandbox_port", port.sandbox_port);
    GetEnum(entry, "protocol", port.protocol, ParseProtocol);
    Get(entry, "host_address", port.host_address);
  }
}

void Read(const Json& json, NetworkAttachment& attachment) {
  Get(json, "ipv4", attachment.ipv4);
  Get(json, "ipv6", attachment.ipv6);
  Get(json, "mac", attachment.mac);
  Get(json, "host_interface", attachment.host_interface);
  Get(json, "bridge", attachment.bridge);
}

}  // namespace json

std::string ToJson(const NamedNetworkPolicy& named) {
  return json::Dump({{"name", named.name},
                     {"policy", json::PolicyToJson(named.policy)},
                     {"created_at", ToMicros(named.created_at)},
                     {"updated_at", ToMicros(named.updated_at)}});
}

std::string ToJson(const NetworkPolicy& policy) { return json::Dump(json::PolicyToJson(policy)); }

StatusOr<NamedNetworkPolicy> NamedNetworkPolicyFromJson(std::string_view text) {
  return json::Parse<NamedNetworkPolicy>(
      "network policy", text, [](const json::Json& json, NamedNetworkPolicy& named) {
        json::Get(json, "name", named.name);
        json::ReadPolicy(json.value("policy", json::Json::object()), named.policy);
        json::GetTime(json, "created_at", named.created_at);
        json::GetTime(json, "updated_at", named.updated_at);
      });
}

}  // namespace claw
