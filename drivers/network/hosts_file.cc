#include "drivers/network/hosts_file.h"

#include <algorithm>

#include "agent/base/strings.h"

namespace claw::network {

std::set<std::string> NamesOf(const NetworkPlan& plan) {
  std::set<std::string> names;
  for (const NetworkPlan::Layer& layer : plan.layers) {
    for (const NetworkRule& rule : layer.policy.egress) {
      if (rule.kind == PeerKind::kName) names.insert(rule.name);
    }
  }
  return names;
}

bool AsksDns(const NetworkPlan& plan) {
  return !plan.layers.empty() &&
         std::all_of(plan.layers.begin(), plan.layers.end(),
                     [](const NetworkPlan::Layer& layer) { return layer.policy.dns; });
}

std::string HostsText(
    const NetworkPlan& plan, const NetworkAttachment& attachment,
    const std::function<std::vector<IpAddress>(const std::string& name)>& addresses) {
  std::string text =
      "127.0.0.1\tlocalhost\n"
      "::1\tlocalhost ip6-localhost ip6-loopback\n";
  for (const std::string& own : {attachment.ipv4, attachment.ipv6}) {
    if (!own.empty() && !plan.hostname.empty()) text += StrCat(own, "\t", plan.hostname, "\n");
  }
  for (const std::string& name : NamesOf(plan)) {
    for (const IpAddress& address : addresses(name)) {
      text += StrCat(ToString(address), "\t", name, "\n");
    }
  }
  return text;
}

std::string ResolvConfText(const NetworkConfig& config, const NetworkPlan& plan) {
  if (!AsksDns(plan) || config.dns_servers.empty()) {
    return "# This sandbox may not ask DNS servers; the names that it may use are in /etc/hosts.\n";
  }
  std::string text;
  for (const std::string& server : config.dns_servers) text += StrCat("nameserver ", server, "\n");
  if (!config.dns_search.empty()) text += StrCat("search ", Join(config.dns_search, " "), "\n");
  return text;
}

}  // namespace claw::network
