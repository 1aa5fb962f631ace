#include "agent/model/network.h"

#include <catch2/catch.hpp>
#include <functional>

#include "tests/unit/model/network_gen.h"

namespace claw {
namespace {

NetworkRule Rule(const std::string& text) { return ParseNetworkRule(text).value(); }

std::string Constraint(const Status& status) {
  if (status.ok()) return "OK";
  if (status.code() != StatusCode::kInvalidArgument) return ToLogString(status);
  return GetErrorDetail(status).value_or(ErrorDetail{}).constraint;
}

TEST_CASE("a rule reads as it is written") {
  rc::prop("any", [] {
    const NetworkRule rule = testing::AnyRule(true);
    RC_ASSERT(ParseNetworkRule(ToString(rule)).value() == rule);
  });
  CHECK(ToString(Rule("10.1.2.3:443")) == "10.1.2.3/32:443/tcp");
  CHECK(ToString(Rule("fd00::1")) == "fd00::1/128");
  CHECK(ToString(Rule("[fd00::/8]:53/udp")) == "[fd00::/8]:53/udp");
  CHECK(ToString(Rule("API.Example.COM.:443")) == "api.example.com:443/tcp");
  CHECK(ToString(Rule("tenant:80-90")) == "tenant:80-90/tcp");
  CHECK(Rule("tenant").kind == PeerKind::kTenant);
  CHECK(Rule("tenant.example").kind == PeerKind::kName);
  CHECK(Rule("TENANT.example") == Rule("tenant.example"));
}

TEST_CASE("what is no rule is refused") {
  const std::string hostile[] = {"10.0.0.1/8",
                                 "::ffff:10.0.0.1",
                                 "10.0.0.0/8/8",
                                 "1.2.3",
                                 "2130706433",
                                 "127.1",
                                 "010.0.0.1",
                                 "0x7f000001",
                                 "a.0x7f",
                                 "a.080",
                                 "a.99999999999999999999",
                                 "*.example.com",
                                 "a..b",
                                 ".",
                                 "-a.b",
                                 "a-.b",
                                 "a b",
                                 "ä.example",
                                 "a.b..",
                                 "http://a",
                                 "a/b:80",
                                 "a_b\x1b[2J",
                                 std::string(64, 'a') + ".example",
                                 std::string("a\0b", 3),
                                 "tenant.",
                                 "Tenant",
                                 Join(std::vector<std::string>(60, "aaaaa"), ".")};
  for (const std::string& text : hostile) {
    INFO(text);
    CHECK(ParseNetworkRule(text).status().code() == StatusCode::kInvalidArgument);
  }
  // They would turn into the peer `tenant` when they are written down.
  CHECK_FALSE(ParseNetworkRule("tenant.").ok());
  CHECK_FALSE(ParseNetworkRule("Tenant").ok());
  rc::prop("anything, never a crash", [](const std::string& text) {
    const Status status = ParseNetworkRule(text).status();
    RC_ASSERT((status.ok() || status.code() == StatusCode::kInvalidArgument));
  });
  rc::prop("what reads is valid", [] {
    auto text = *rc::gen::element<std::string>("10.0.0.0/8:443/tcp", "[fd00::/8]:53,80-90/udp",
                                               "fd00::1/icmp", "api.example:443", "tenant:80");
    for (int i = *rc::gen::inRange(0, 3); i > 0; --i) {
      text[*rc::gen::inRange<size_t>(0, text.size())] = *rc::gen::element(
          '1', '0', '.', ':', '/', '[', ']', ',', '-', 't', 'u', 'd', 'p', 'a', 'F', ' ');
    }
    const auto rule = ParseNetworkRule(text);
    if (!rule.ok()) return;
    RC_ASSERT(ParseNetworkRule(ToString(*rule)).value() == *rule);
    const NetworkPolicy policy{.egress = {*rule}};
    RC_ASSERT(ValidateNetworkPolicy(policy, "p").ok());
  });
}

TEST_CASE("a policy's bounds") {
  rc::prop("what is made by the rules is valid",
           [] { RC_ASSERT(ValidateNetworkPolicy(testing::AnyPolicy(), "policy").ok()); });
  struct Case {
    const char* field;
    std::function<void(NetworkPolicy&)> spoil;
  };
  const std::vector<NetworkRule> many(kMaxRules + 1, Rule("10.0.0.0/8"));
  NetworkRule crooked = Rule("10.0.0.0/8");
  crooked.prefix.address.bytes[3] = 1;
  NetworkRule mapped = Rule("::/0");
  mapped.prefix = {.address = {.v6 = true, .bytes = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255}},
                   .bits = 96};
  NetworkRule ports = Rule("tenant:80");
  ports.ports.assign(kMaxRulePorts + 1, {80, 80});
  const NetworkRule all_ports{.ports = {{80, 80}}};
  const Case cases[] = {
      {"p.egress", [&](NetworkPolicy& p) { p.egress = many; }},
      {"p.ingress", [&](NetworkPolicy& p) { p.ingress = many; }},
      {"p.ingress[1]",
       [](NetworkPolicy& p) {
         p.ingress = {Rule("tenant"), Rule("api.example.com")};
       }},
      {"p.egress[0]", [&](NetworkPolicy& p) { p.egress = {crooked}; }},
      {"p.egress[0]", [&](NetworkPolicy& p) { p.egress = {mapped}; }},
      {"p.egress[0]", [&](NetworkPolicy& p) { p.egress = {ports}; }},
      {"p.egress[0]", [&](NetworkPolicy& p) { p.egress = {all_ports}; }},
      {"p.egress[0]",
       [](NetworkPolicy& p) { p.egress = {{.kind = PeerKind::kName, .name = "tenant"}}; }},
      {"p.egress[0]",
       [](NetworkPolicy& p) { p.egress = {{.kind = PeerKind::kName, .name = "A.b"}}; }},
      {"p.egress[0]", [](NetworkPolicy& p) { p.egress = {{.kind = PeerKind::kName, .name = ""}}; }},
      {"p.egress[0]",
       [](NetworkPolicy& p) { p.egress = {{.kind = PeerKind::kName, .name = "10.0.0.1"}}; }},
      // Part of it would be lost on the way to the disk and back.
      {"p.egress[0]",
       [](NetworkPolicy& p) { p.egress = {{.kind = PeerKind::kTenant, .name = "a.b"}}; }},
      {"p.egress[0]",
       [](NetworkPolicy& p) {
         p.egress = {{.kind = PeerKind::kTenant, .ports = {{5, 4}}, .protocol = Protocol::kTcp}};
       }},
      {"p.egress[0]", [](NetworkPolicy& p) { p.egress = {{.prefix = {.bits = 33}}}; }},
      {"p.egress[0]", [](NetworkPolicy& p) { p.egress = {{.prefix = {.bits = -1}}}; }},
      {"p.egress_bytes_per_second", [](NetworkPolicy& p) { p.egress_bytes_per_second = 1023; }},
      {"p.egress_bytes_per_second", [](NetworkPolicy& p) { p.egress_bytes_per_second = -1; }},
      {"p.ingress_bytes_per_second",
       [](NetworkPolicy& p) { p.ingress_bytes_per_second = kMaxBytesPerSecond + 1; }},
      {"p.connections_max", [](NetworkPolicy& p) { p.connections_max = -1; }},
      {"p.connections_max", [](NetworkPolicy& p) { p.connections_max = kMaxConnections + 1; }},
  };
  for (size_t i = 0; i < std::size(cases); ++i) {
    INFO(i << " " << cases[i].field);
    NetworkPolicy policy;
    cases[i].spoil(policy);
    CHECK(Constraint(ValidateNetworkPolicy(policy, "p")) == cases[i].field);
  }
}

TEST_CASE("a sandbox's part of it") {
  rc::prop("what is made by the rules is valid",
           [] { RC_ASSERT(ValidateNetworkSpec(testing::AnyNetworkSpec()).ok()); });
  const PortMapping web{.host_port = 8080, .sandbox_port = 80};
  const auto ports = [](std::vector<PortMapping> all) {
    return Constraint(ValidateNetworkSpec({.ports = std::move(all)}));
  };
  const auto changed = [&](const std::function<void(PortMapping&)>& change) {
    PortMapping mapping = web;
    change(mapping);
    return mapping;
  };
  CHECK(Constraint(ValidateNetworkSpec({})) == "OK");
  CHECK(Constraint(ValidateNetworkSpec({.mode = NetworkMode::kNone})) == "OK");
  CHECK(Constraint(ValidateNetworkSpec({.mode = NetworkMode::kNone, .policy = NetworkPolicy{}})) ==
        "network.mode");
  CHECK(Constraint(ValidateNetworkSpec({.mode = NetworkMode::kNone, .ports = {web}})) ==
        "network.mode");
  CHECK(Constraint(ValidateNetworkSpec({.policy = NetworkPolicy{.connections_max = -1}})) ==
        "network.policy.connections_max");
  CHECK(ports(std::vector<PortMapping>(kMaxPortMappings + 1, web)) == "network.ports");
  CHECK(ports({web, changed([](PortMapping& p) { p.host_port = 0; })}) ==
        "network.ports[1].host_port");
  CHECK(ports({changed([](PortMapping& p) { p.sandbox_port = 65536; })}) ==
        "network.ports[0].sandbox_port");
  CHECK(ports({changed([](PortMapping& p) { p.protocol = Protocol::kIcmp; })}) ==
        "network.ports[0].protocol");
  for (const std::string address : {"localhost", "10.0.0.0/8", "[::1]", "::ffff:1.2.3.4"}) {
    CHECK(ports({changed([&](PortMapping& p) { p.host_address = address; })}) ==
          "network.ports[0].host_address");
  }
  CHECK(ports({changed([](PortMapping& p) { p.host_address.assign(1 << 20, '1'); })}) ==
        "network.ports[0].host_address");
}

TEST_CASE("one port of the host leads to one sandbox's port") {
  const auto at = [](std::string address, Protocol protocol = Protocol::kTcp) {
    return PortMapping{.host_port = 80,
                       .sandbox_port = 80,
                       .protocol = protocol,
                       .host_address = std::move(address)};
  };
  const auto valid = [](const PortMapping& a, const PortMapping& b) {
    return ValidateNetworkSpec({.ports = {a, b}}).ok();
  };
  CHECK(valid(at(""), at("", Protocol::kUdp)));
  CHECK(valid(at("127.0.0.1"), at("127.0.0.2")));
  CHECK(valid(at("0.0.0.0"), at("::1")));
  CHECK_FALSE(valid(at(""), at("")));
  CHECK_FALSE(valid(at(""), at("127.0.0.1")));
  CHECK_FALSE(valid(at("127.0.0.1"), at("0.0.0.0")));
  CHECK_FALSE(valid(at("::1"), at("0:0::1")));
}

TEST_CASE("modes by name") {
  for (const NetworkMode mode : {NetworkMode::kNone, NetworkMode::kBridge}) {
    CHECK(ParseNetworkMode(ToString(mode)).value() == mode);
  }
  CHECK_FALSE(ParseNetworkMode("host").ok());
  CHECK_FALSE(ParseNetworkMode("").ok());
}

}  // namespace
}  // namespace claw
