#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "agent/base/ip.h"
#include "agent/model/network.h"
#include "drivers/network/network.h"

namespace claw::test {

// Of the agents of a World.
inline network::NetworkConfig WorldConfig(const std::filesystem::path& run_dir,
                                          std::string_view ipv4_range) {
  network::NetworkConfig config;
  config.name = "clawt";
  config.run_dir = run_dir;
  config.ipv4_range = *ParseIpPrefix(ipv4_range);
  config.ipv6_range = *ParseIpPrefix("fd22::/96");
  config.dns_servers = {"10.9.2.2", "10.9.1.1"};
  config.exceptions = {*ParseNetworkRule("10.9.1.1:8080")};
  config.denied = {*ParseIpPrefix("10.66.0.0/16")};
  return config;
}

// A sandbox that uses all there is: limits, tenants, ports of the host. No names, for which an
// agent waits.
inline network::NetworkPlan FullPlan(const std::string& id) {
  NetworkPolicy policy;
  for (const char* rule : {"10.9.1.2:80", "tenant:80", "[fd09:1::2]:80"}) {
    policy.egress.push_back(*ParseNetworkRule(rule));
  }
  policy.ingress = {*ParseNetworkRule("tenant"), *ParseNetworkRule("10.9.1.0/24:80")};
  policy.egress_bytes_per_second = 1 << 20;
  policy.ingress_bytes_per_second = 1 << 20;
  policy.connections_max = 3;
  policy.dns = true;
  return {.id = id,
          .tenant = "a",
          .hostname = "host-" + id,
          .layers = {{.name = "", .policy = policy}},
          .ports = {{.host_port = 8080, .sandbox_port = 80},
                    {.host_port = 8053, .sandbox_port = 53, .protocol = Protocol::kUdp}}};
}

}  // namespace claw::test
