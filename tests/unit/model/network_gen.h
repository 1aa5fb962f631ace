#pragma once

#include <rapidcheck/catch.h>

#include <string>
#include <vector>

#include "agent/model/network.h"

// Values of agent/model/network.h as ValidateNetworkPolicy lets them through.

namespace claw::testing {

inline NetworkRule AnyRule(bool egress) {
  const auto text = *rc::gen::element<std::string>(
      "10.0.0.0/8", "0.0.0.0/0", "192.0.2.7", "fd00::/8", "::/0", "2001:db8::1", "tenant",
      "tenant:80", "10.0.0.0/8:1-65535/udp", "[fd00::/8]:53,8000-8080/udp", "10.0.0.0/8/icmp");
  const auto name = *rc::gen::element<std::string>("api.example.com:443", "x/udp", "_srv.a-b.c",
                                                   "1a.example:53/udp");
  const bool by_name = egress && *rc::gen::arbitrary<bool>();
  return ParseNetworkRule(by_name ? name : text).value();
}

inline NetworkPolicy AnyPolicy() {
  NetworkPolicy policy;
  for (int i = *rc::gen::inRange(0, 4); i > 0; --i) policy.egress.push_back(AnyRule(true));
  for (int i = *rc::gen::inRange(0, 4); i > 0; --i) policy.ingress.push_back(AnyRule(false));
  policy.egress_bytes_per_second = *rc::gen::element<int64_t>(0, 1024, int64_t{1} << 40);
  policy.ingress_bytes_per_second = *rc::gen::element<int64_t>(0, 1024, int64_t{1} << 40);
  policy.connections_max = *rc::gen::element<int64_t>(0, 1, kMaxConnections);
  policy.dns = *rc::gen::arbitrary<bool>();
  return policy;
}

inline NetworkSpec AnyNetworkSpec() {
  NetworkSpec spec;
  if (*rc::gen::arbitrary<bool>()) spec.mode = NetworkMode::kBridge;
  if (*rc::gen::arbitrary<bool>()) spec.policy = AnyPolicy();
  for (int i = *rc::gen::inRange(0, 3); i > 0; --i) {
    spec.ports.push_back({.host_port = 8000 + i,
                          .sandbox_port = *rc::gen::inRange(1, 65536),
                          .protocol = *rc::gen::element(Protocol::kTcp, Protocol::kUdp),
                          .host_address = *rc::gen::element<std::string>("", "127.0.0.1", "::1")});
  }
  return spec;
}

}  // namespace claw::testing
