#include "drivers/network/cni_config.h"

#include <nlohmann/json.hpp>

#include "agent/base/strings.h"

namespace claw::network {
namespace {

using nlohmann::json;

// The newest that the plugins of Debian 12 and those of 2019 both speak.
constexpr char kCniVersion[] = "0.4.0";

std::string Field(const json& object, const char* name) {
  const auto it = object.find(name);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

const json& List(const json& object, const char* name) {
  static const json kNone = json::array();
  const auto it = object.find(name);
  return it != object.end() && it->is_array() ? *it : kNone;
}

}  // namespace

std::string LoopbackConfig() {
  return json{{"cniVersion", kCniVersion}, {"name", "lo"}, {"type", "loopback"}}.dump();
}

std::string BridgeConfig(const NetworkConfig& config, const Subnet& subnet) {
  json ranges = json::array();
  ranges.push_back(
      json::array({json{{"subnet", ToString(subnet.v4)}, {"gateway", ToString(subnet.gateway4)}}}));
  json routes = json::array({json{{"dst", "0.0.0.0/0"}}});
  if (subnet.v6) {
    ranges.push_back(json::array(
        {json{{"subnet", ToString(*subnet.v6)}, {"gateway", ToString(subnet.gateway6)}}}));
    routes.push_back(json{{"dst", "::/0"}});
  }
  json made{{"cniVersion", kCniVersion},
            {"name", subnet.bridge},
            {"type", "bridge"},
            {"bridge", subnet.bridge},
            {"isGateway", true},
            {"ipMasq", false},
            {"hairpinMode", false},
            {"ipam",
             {{"type", "host-local"},
              {"dataDir", (config.run_dir / "ipam").string()},
              {"ranges", std::move(ranges)},
              {"routes", std::move(routes)}}}};
  if (config.mtu > 0) made["mtu"] = config.mtu;
  return made.dump();
}

std::string PortmapConfig(const NetworkConfig& config, const std::vector<PortMapping>& ports,
                          std::string_view result) {
  json mappings = json::array();
  for (const PortMapping& port : ports) {
    json mapping{{"hostPort", port.host_port},
                 {"containerPort", port.sandbox_port},
                 {"protocol", std::string(ToString(port.protocol))}};
    if (!port.host_address.empty()) mapping["hostIP"] = port.host_address;
    mappings.push_back(std::move(mapping));
  }
  json made{{"cniVersion", kCniVersion},
            {"name", config.name},
            {"type", "portmap"},
            {"capabilities", {{"portMappings", true}}},
            {"snat", true},
            {"runtimeConfig", {{"portMappings", std::move(mappings)}}}};
  json previous = json::parse(result, nullptr, false);
  if (previous.is_object()) made["prevResult"] = std::move(previous);
  return made.dump();
}

std::string ResultText(const NetworkAttachment& attachment) {
  json ips = json::array({json{{"version", "4"}, {"address", attachment.ipv4 + "/32"}}});
  if (!attachment.ipv6.empty()) {
    ips.push_back(json{{"version", "6"}, {"address", attachment.ipv6 + "/128"}});
  }
  return json{{"cniVersion", kCniVersion}, {"ips", std::move(ips)}}.dump();
}

StatusOr<NetworkAttachment> ParseBridgeResult(std::string_view result, bool ipv6) {
  const Status broken = Internal("the CNI plugin 'bridge' has answered '", result.substr(0, 300),
                                 "', which is no result with interfaces and addresses");
  const json read = json::parse(result, nullptr, false);
  if (!read.is_object()) return broken;
  NetworkAttachment attachment;
  for (const json& interface : List(read, "interfaces")) {
    if (!interface.is_object()) return broken;
    const std::string name = Field(interface, "name");
    if (!Field(interface, "sandbox").empty()) {
      attachment.mac = Field(interface, "mac");
    } else if (attachment.bridge.empty()) {  // first the bridge, then the host's end
      attachment.bridge = name;
    } else {
      attachment.host_interface = name;
    }
  }
  for (const json& ip : List(read, "ips")) {
    if (!ip.is_object()) return broken;
    const std::string text = Field(ip, "address");
    const auto address = ParseIpAddress(std::string_view(text).substr(0, text.find('/')));
    if (!address.ok()) return broken;
    (address->v6 ? attachment.ipv6 : attachment.ipv4) = ToString(*address);
  }
  if (attachment.ipv4.empty() || attachment.mac.empty() || attachment.bridge.empty() ||
      attachment.host_interface.empty() || (ipv6 && attachment.ipv6.empty())) {
    return broken;
  }
  return attachment;
}

std::string CniErrorMessage(std::string_view printed) {
  const json read = json::parse(printed, nullptr, false);
  if (!read.is_object()) return std::string(Trim(printed.substr(0, 300)));
  const std::string details = Field(read, "details");
  return StrCat(Field(read, "msg"), details.empty() ? "" : ": ", details);
}

bool IsExhausted(std::string_view message) {
  return message.find("no IP addresses available") != std::string_view::npos;
}

}  // namespace claw::network
