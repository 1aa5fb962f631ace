#include <rapidcheck/catch.h>
#include <catch2/catch.hpp>
#include <functional>

#include "agent/rpc/convert.h"
#include "agent/rpc/convert_network.h"
#include "tests/unit/model/network_gen.h"

namespace claw::rpc {
namespace {

// The constraint of the error; empty if there is none.
template <typename T>
std::string FieldOf(const StatusOr<T>& value) {
  if (value.ok()) return "";
  CHECK(value.status().code() == StatusCode::kInvalidArgument);
  return GetErrorDetail(value.status()).value_or(ErrorDetail{}).constraint;
}

pb::NetworkPolicy To(const std::string& cidr) {
  pb::NetworkPolicy policy;
  policy.add_egress()->set_cidr(cidr);
  return policy;
}

TEST_CASE("network: what is valid goes over and comes back") {
  rc::prop("policy", [] {
    const NetworkPolicy policy = testing::AnyPolicy();
    RC_ASSERT(FromProto(ToProto(policy), "policy").value() == policy);
  });
  rc::prop("spec", [] {
    const NetworkSpec spec = testing::AnyNetworkSpec();
    RC_ASSERT(FromProto(ToProto(spec), "network").value() == spec);
  });
  CHECK(FromProto(pb::NetworkSpec(), "network").value() == NetworkSpec{});
  CHECK(FromProto(ToProto(NetworkSpec{.mode = NetworkMode::kNone}), "network")->mode ==
        NetworkMode::kNone);
}

TEST_CASE("network: what is left out") {
  pb::NetworkPolicy policy = To("192.0.2.7");
  policy.mutable_egress(0)->add_ports()->set_first(80);
  policy.add_egress()->set_dns_name("API.Example.COM.");
  const auto read = FromProto(policy, "policy");
  REQUIRE(read.ok());
  CHECK(ToString(read->egress[0]) == "192.0.2.7/32:80/tcp");
  CHECK(ToString(read->egress[1]) == "api.example.com");
  pb::NetworkSpec spec;
  spec.add_ports()->set_host_port(8080);
  spec.mutable_ports(0)->set_sandbox_port(80);
  CHECK(FromProto(spec, "network")->ports[0].protocol == Protocol::kTcp);
}

TEST_CASE("network: errors name the field") {
  const std::function<void(pb::NetworkRule&)> spoil[] = {
      [](pb::NetworkRule& rule) { rule.clear_peer(); },
      [](pb::NetworkRule& rule) { rule.set_cidr("10.0.0.1/8"); },
      [](pb::NetworkRule& rule) { rule.set_cidr(""); },
      [](pb::NetworkRule& rule) { rule.set_cidr("::ffff:10.0.0.1"); },
      [](pb::NetworkRule& rule) { rule.set_cidr("10.0.0.0/8:80"); },
      [](pb::NetworkRule& rule) { rule.set_cidr(std::string(1 << 20, '1')); },
      [](pb::NetworkRule& rule) { rule.set_cidr("10.0.0.0\x1b[31m"); },
      [](pb::NetworkRule& rule) { rule.set_dns_name(""); },
      [](pb::NetworkRule& rule) { rule.set_dns_name("tenant"); },
      [](pb::NetworkRule& rule) { rule.set_dns_name("Tenant"); },
      [](pb::NetworkRule& rule) { rule.set_dns_name("a.example:80"); },
      [](pb::NetworkRule& rule) { rule.set_dns_name("a.example/udp"); },
      [](pb::NetworkRule& rule) { rule.set_dns_name("10.0.0.1"); },
      [](pb::NetworkRule& rule) { rule.set_dns_name("*.example"); },
      [](pb::NetworkRule& rule) { rule.set_dns_name(std::string(1 << 20, 'a')); },
      [](pb::NetworkRule& rule) { rule.set_protocol(static_cast<pb::NetworkProtocol>(4)); },
      [](pb::NetworkRule& rule) { rule.set_protocol(static_cast<pb::NetworkProtocol>(-1)); },
      [](pb::NetworkRule& rule) {
        for (size_t i = 0; i <= kMaxRulePorts; ++i) rule.add_ports()->set_first(80);
      },
      [](pb::NetworkRule& rule) { rule.add_ports(); },
      [](pb::NetworkRule& rule) { rule.add_ports()->set_first(65536); },
      [](pb::NetworkRule& rule) {
        rule.add_ports()->set_first(80);
        rule.mutable_ports(0)->set_last(79);
      },
      [](pb::NetworkRule& rule) {
        rule.add_ports()->set_first(80);
        rule.set_protocol(pb::NETWORK_PROTOCOL_ICMP);
      },
  };
  const char* const fields[] = {"",          ".cidr",     ".cidr",     ".cidr",     ".cidr",
                                ".cidr",     ".cidr",     ".dns_name", ".dns_name", ".dns_name",
                                ".dns_name", ".dns_name", ".dns_name", ".dns_name", ".dns_name",
                                ".protocol", ".protocol", ".ports",    "",          "",
                                "",          ""};
  static_assert(std::size(spoil) == std::size(fields));
  for (size_t i = 0; i < std::size(spoil); ++i) {
    INFO(i);
    pb::NetworkPolicy policy = To("10.0.0.0/8");
    policy.add_egress()->set_cidr("10.0.0.0/8");
    spoil[i](*policy.mutable_egress(1));
    const auto read = FromProto(policy, "spec.network.policy");
    CHECK(FieldOf(read) == StrCat("spec.network.policy.egress[1]", fields[i]));
    CHECK(read.status().message().size() < 1000);
  }
  pb::NetworkPolicy called;
  called.add_ingress()->set_dns_name("a.example");
  CHECK(FieldOf(FromProto(called, "policy")) == "policy.ingress[0]");
  pb::NetworkPolicy many;
  for (size_t i = 0; i <= kMaxRules; ++i) many.add_ingress()->mutable_tenant();
  CHECK(FieldOf(FromProto(many, "policy")) == "policy.ingress");
  pb::NetworkPolicy fast;
  fast.set_egress_bytes_per_second(1);
  CHECK(FieldOf(FromProto(fast, "policy")) == "policy.egress_bytes_per_second");
}

TEST_CASE("network: errors of a spec name the field") {
  pb::NetworkSpec spec;
  spec.set_mode(static_cast<pb::NetworkMode>(3));
  CHECK(FieldOf(FromProto(spec, "spec.network")) == "spec.network.mode");
  spec.Clear();
  spec.add_ports()->set_protocol(static_cast<pb::NetworkProtocol>(9));
  CHECK(FieldOf(FromProto(spec, "spec.network")) == "spec.network.ports[0].protocol");
  spec.Clear();
  for (size_t i = 0; i <= kMaxPortMappings; ++i) spec.add_ports();
  CHECK(FieldOf(FromProto(spec, "spec.network")) == "spec.network.ports");
  pb::SandboxSpec sandbox;
  sandbox.set_tenant("tenants/acme");
  sandbox.set_image("app");
  sandbox.mutable_network()->add_ports()->set_host_port(80);
  CHECK(FieldOf(FromProto(sandbox)) == "network.ports[0].sandbox_port");
  sandbox.mutable_network()->mutable_ports(0)->set_sandbox_port(80);
  CHECK(FieldOf(FromProto(sandbox)) == "");
  sandbox.mutable_network()->set_mode(pb::NETWORK_MODE_NONE);
  CHECK(FieldOf(FromProto(sandbox)) == "network.mode");
}

TEST_CASE("network: a sandbox shows what was asked for and what it got") {
  Sandbox sandbox;
  CHECK_FALSE(ToProto(sandbox).spec().has_network());
  CHECK(ToProto(sandbox).network().mode() == pb::NETWORK_MODE_NONE);
  sandbox.spec.network.policy = NetworkPolicy{};
  sandbox.network_mode = NetworkMode::kBridge;
  sandbox.network = NetworkAttachment{.ipv4 = "10.88.0.5",
                                      .ipv6 = "fd00::5",
                                      .mac = "0a:58:0a:58:00:05",
                                      .host_interface = "veth1",
                                      .bridge = "clawlet0"};
  const pb::Sandbox proto = ToProto(sandbox);
  CHECK(proto.spec().network().has_policy());
  CHECK(proto.network().mode() == pb::NETWORK_MODE_BRIDGE);
  CHECK(proto.network().ipv4_address() == "10.88.0.5");
  CHECK(proto.network().ipv6_address() == "fd00::5");
  CHECK(proto.network().mac_address() == "0a:58:0a:58:00:05");
  CHECK(proto.network().host_interface() == "veth1");
  CHECK(proto.network().bridge() == "clawlet0");
}

}  // namespace
}  // namespace claw::rpc
