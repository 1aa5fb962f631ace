#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "agent/base/bytes.h"
#include "tests/unit/clawctl/fixture.h"

namespace claw::ctl::testing {
namespace {

using Catch::Matchers::Contains;
using nlohmann::json;
using Words = std::vector<std::string>;

Words Network(const Words& more) {
  Words words = {"node", "network"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

pb::NamedNetworkPolicy MakePolicy(const std::string& name) {
  pb::NamedNetworkPolicy named;
  named.set_name("networkPolicies/" + name);
  pb::NetworkRule* rule = named.mutable_policy()->add_egress();
  rule->set_cidr("10.0.0.0/8");
  rule->add_ports()->set_first(443);
  rule->mutable_ports(0)->set_last(443);
  rule->set_protocol(pb::NETWORK_PROTOCOL_TCP);
  named.mutable_policy()->add_ingress()->mutable_tenant();
  named.add_tenants("tenants/acme");
  named.mutable_create_time()->set_seconds(1'000'000);
  named.mutable_update_time()->set_seconds(1'000'000);
  return named;
}

pb::SandboxNetwork MakeNetwork(const std::string& id, const std::string& display_name) {
  pb::SandboxNetwork network;
  network.set_name("sandboxes/" + id);
  network.set_display_name(display_name);
  network.set_tenant("tenants/acme");
  network.mutable_status()->set_mode(pb::NETWORK_MODE_BRIDGE);
  network.mutable_status()->set_ipv4_address("10.88.0.5");
  network.mutable_status()->set_ipv6_address("fd00::5");
  network.mutable_status()->set_mac_address("0a:58:0a:58:00:05");
  network.mutable_status()->set_host_interface("veth1a2b3c4d");
  network.mutable_status()->set_bridge("clawlet0");
  pb::NetworkLayer* layer = network.add_layers();
  layer->set_name("networkPolicies/web");
  *layer->mutable_policy() = MakePolicy("web").policy();
  network.add_layers()->mutable_policy()->set_dns(true);
  network.mutable_counters()->mutable_sent()->set_packets(12);
  network.mutable_counters()->mutable_sent()->set_bytes(3 * kKiB);
  network.mutable_counters()->mutable_egress_denied()->set_packets(4);
  network.mutable_counters()->mutable_ingress_denied()->set_packets(3);
  network.mutable_counters()->mutable_spoofed()->set_packets(2);
  pb::ResolvedName* good = network.add_names();
  good->set_name("api.example.com");
  good->add_addresses("192.0.2.1");
  good->add_addresses("192.0.2.2");
  pb::ResolvedName* bad = network.add_names();
  bad->set_name("no.example.com");
  bad->set_problem("NXDOMAIN \x1b[31m");
  pb::PortMapping* port = network.add_ports();
  port->set_host_port(8080);
  port->set_sandbox_port(80);
  port->set_host_address("::1");
  return network;
}

TEST_CASE("network policy set: every form of a rule reaches the agent", "[clawctl]") {
  Fixture node;
  const auto made = node.Ctl(Network({"policy",
                                      "set",
                                      "web",
                                      "--allow-to",
                                      "API.example.com:443",
                                      "--allow-to",
                                      "10.0.0.0/8:5432,6000-6010/udp",
                                      "--allow-to",
                                      "[fd00::/8]:53/udp",
                                      "--allow-to",
                                      "192.0.2.7/icmp",
                                      "--allow-from",
                                      "tenant:8080",
                                      "--allow-from",
                                      "::/0",
                                      "--allow-dns",
                                      "--egress-rate",
                                      "10Mi",
                                      "--ingress-rate",
                                      "1Ki",
                                      "--connections",
                                      "100"}));
  CHECK(made.code == 0);
  CHECK(Lines(made.out) ==
        Words{"web made:", "+ to API.example.com:443/tcp", "+ to 10.0.0.0/8:5432,6000-6010/udp",
              "+ to [fd00::/8]:53/udp", "+ to 192.0.2.7/32/icmp", "+ from tenant:8080/tcp",
              "+ from ::/0", "  dns: no -> yes", "  egress rate: no bound -> 10 MiB/s",
              "  ingress rate: no bound -> 1 KiB/s", "  connections: no bound -> 100"});
  REQUIRE(node.state().policy_puts.size() == 1);
  const pb::PutNetworkPolicyRequest& request = node.state().policy_puts[0];
  CHECK_FALSE(request.validate_only());
  CHECK(request.request_id().starts_with("clawctl-"));
  CHECK(request.policy().name() == "networkPolicies/web");
  const pb::NetworkPolicy& policy = request.policy().policy();
  REQUIRE(policy.egress_size() == 4);
  CHECK(policy.egress(0).dns_name() == "API.example.com");
  CHECK(policy.egress(0).protocol() == pb::NETWORK_PROTOCOL_TCP);
  CHECK(policy.egress(1).cidr() == "10.0.0.0/8");
  CHECK(policy.egress(1).ports(1).first() == 6000);
  CHECK(policy.egress(1).ports(1).last() == 6010);
  CHECK(policy.egress(2).cidr() == "fd00::/8");
  CHECK(policy.egress(3).cidr() == "192.0.2.7/32");
  CHECK(policy.egress(3).protocol() == pb::NETWORK_PROTOCOL_ICMP);
  REQUIRE(policy.ingress_size() == 2);
  CHECK(policy.ingress(0).has_tenant());
  CHECK(policy.ingress(1).cidr() == "::/0");
  CHECK(policy.ingress(1).protocol() == pb::NETWORK_PROTOCOL_UNSPECIFIED);
  CHECK(policy.dns());
  CHECK(policy.egress_bytes_per_second() == 10 * kMiB);
  CHECK(policy.ingress_bytes_per_second() == kKiB);
  CHECK(policy.connections_max() == 100);
}

TEST_CASE("network policy set: an existing one is replaced whole, and the difference is shown",
          "[clawctl]") {
  Fixture node;
  node.state().policies = {MakePolicy("web")};
  const Words change = {"policy",    "set",          "web",   "--allow-to",
                        "a.example", "--allow-from", "tenant"};
  Words dry = change;
  dry.emplace_back("--dry-run");
  const auto planned = node.Ctl(Network(dry));
  CHECK(planned.code == 0);
  CHECK(Lines(planned.out) == Words{"web would be changed:", "+ to a.example",
                                    "- to 10.0.0.0/8:443/tcp",
                                    "It would be in force for the sandboxes of 1 tenant."});
  CHECK(node.state().policy_puts.back().validate_only());
  CHECK(node.state().policies[0].policy().egress(0).has_cidr());
  const auto done = node.Ctl(Network(change));
  CHECK_THAT(done.out, Contains("web changed:\n+ to a.example\n- to 10.0.0.0/8:443/tcp\n"));
  CHECK_THAT(node.Ctl(Network(change)).out, Contains("web as it was"));
  CHECK_THAT(node.Ctl(Network(dry)).out, Contains("web would stay as it is"));
  const auto emptied = node.Ctl(Network({"policy", "set", "web"}));
  CHECK_THAT(emptied.out, Contains("- to a.example\n- from tenant\nNothing is allowed.\n"));
  const auto text = node.Ctl(Network({"policy", "set", "web", "--allow-dns", "-o", "json"}));
  CHECK(json::parse(text.out)["policy"]["dns"] == true);
}

TEST_CASE("network policy set: what is no rule is a usage error", "[clawctl]") {
  Fixture node;
  const std::pair<Words, const char*> cases[] = {
      {{"--allow-to", ":443"}, "--allow-to: ':443' names no peer"},
      {{"--allow-to", "10.0.0.1/8"}, "'10.0.0.0/8' has not"},
      {{"--allow-to", "a:99999"}, "'99999' is not a port"},
      {{"--allow-to", "a:1/icmp"}, "has ports, which only tcp and udp have"},
      {{"--allow-from", "api.example.com"}, "--allow-from: 'api.example.com' names a DNS name"},
      {{"--egress-rate", "fast"}, "--egress-rate"},
      {{"--connections", "0"}, "--connections"},
      {{"--connections", "1000001"}, "--connections"},
  };
  for (const auto& [more, message] : cases) {
    Words words = Network({"policy", "set", "web"});
    words.insert(words.end(), more.begin(), more.end());
    INFO(more.back());
    const auto result = node.Ctl(words);
    CHECK(result.code == 2);
    CHECK_THAT(result.err, Contains(message));
  }
  CHECK(node.state().policy_puts.empty());
}

TEST_CASE("network policy ls, show and rm", "[clawctl]") {
  Fixture node;
  node.state().policies = {MakePolicy("db"), MakePolicy("web"), MakePolicy("zoo")};
  const auto listed = node.Ctl(Network({"policy", "ls"}));
  CHECK(Lines(listed.out).size() == 4);
  CHECK_THAT(Lines(listed.out)[1], Contains("db") && Contains("no bound") && Contains("3m12s"));
  CHECK_THAT(node.Ctl(Network({"policy", "ls", "-o", "wide"})).out, Contains("10.0.0.0/8:443/tcp"));
  CHECK(json::parse(node.Ctl(Network({"policy", "ls", "-o", "json"})).out)["items"].size() == 3);
  const auto shown = node.Ctl(Network({"policy", "show", "web"}));
  CHECK_THAT(shown.out, Contains("10.0.0.0/8:443/tcp") && Contains("acme"));
  CHECK(node.Ctl(Network({"policy", "rm", "networkPolicies/zoo"})).code == 0);
  const auto missing = node.Ctl(Network({"policy", "rm", "zoo"}));
  CHECK(missing.code == 3);
  CHECK_THAT(missing.err, Contains("network policy ls"));
  pb::ErrorDetail detail;
  detail.set_reason("NETWORK_POLICY_IN_USE");
  node.state().refusals = {{.code = 9, .message = "it is in use", .detail = detail}};
  const auto used = node.Ctl(Network({"policy", "rm", "web"}));
  CHECK(used.code == 1);
  CHECK_THAT(used.err, Contains("--network-policy OTHER"));
}

TEST_CASE("network show: all of them, and one with its counters and names", "[clawctl]") {
  Fixture node;
  node.state().sandboxes = {MakeSandbox("aa11000000000001", "web", pb::SANDBOX_STATE_RUNNING)};
  node.state().networks = {MakeNetwork("aa11000000000001", "web"),
                           MakeNetwork("bb22000000000002", ""),
                           MakeNetwork("cc33000000000003", "")};
  const auto all = node.Ctl(Network({"show"}));
  CHECK(all.code == 0);
  CHECK(Lines(all.out).size() == 4);
  CHECK_THAT(Lines(all.out)[1], Contains("10.88.0.5,fd00::5") && Contains("web,own") &&
                                    Contains("12 (3 KiB)") && Contains(" 7 "));
  CHECK_THAT(node.Ctl(Network({"show", "-o", "wide"})).out,
             Contains("veth1a2b3c4d") && Contains("[::1]:8080 -> 80/tcp"));
  const auto one = node.Ctl(Network({"show", "web"}));
  CHECK(one.code == 0);
  CHECK_THAT(one.out, Contains("bridge") && Contains("10.88.0.5, fd00::5") &&
                          Contains("the sandbox's own") && Contains("10.0.0.0/8:443/tcp") &&
                          Contains("[::1]:8080 -> 80/tcp"));
  CHECK_THAT(one.out,
             Contains("api.example.com  192.0.2.1,192.0.2.2") && Contains("NXDOMAIN \\x1b[31m"));
  for (const char* counter :
       {"sent", "received", "denied to", "denied from", "spoofed", "limited to", "limited from"}) {
    CHECK_THAT(one.out, Contains(counter));
  }
  const auto text = json::parse(node.Ctl(Network({"show", "web", "-o", "json"})).out);
  CHECK(text["counters"]["sent"]["bytes"] == "3072");
  CHECK(node.Ctl(Network({"show", "nobody"})).code == 3);
  node.state().networks[0].clear_layers();
  CHECK_THAT(node.Ctl(Network({"show", "web"})).out, Contains("everything is denied"));
}

TEST_CASE("network set: a sandbox's own policy, or none", "[clawctl]") {
  Fixture node;
  node.state().sandboxes = {MakeSandbox("aa11000000000001", "web", pb::SANDBOX_STATE_RUNNING)};
  node.state().networks = {MakeNetwork("aa11000000000001", "web")};
  CHECK(node.Ctl(Network({"set", "web", "--allow-to", "10.0.0.0/8", "--connections", "5"})).code ==
        0);
  CHECK(node.Ctl(Network({"set", "web", "--clear"})).code == 0);
  CHECK(node.Ctl(Network({"set", "web", "--deny-all"})).code == 0);
  REQUIRE(node.state().network_sets.size() == 3);
  const auto& sets = node.state().network_sets;
  CHECK(sets[0].name() == "sandboxes/aa11000000000001");
  CHECK(sets[0].policy().egress(0).cidr() == "10.0.0.0/8");
  CHECK(sets[0].policy().connections_max() == 5);
  CHECK_FALSE(sets[1].has_policy());
  CHECK(sets[2].has_policy());
  CHECK(sets[2].policy().egress().empty());
  CHECK(node.Ctl(Network({"set", "web"})).code == 2);
  CHECK(node.Ctl(Network({"set", "web", "--clear", "--allow-dns"})).code == 2);
  CHECK(node.Ctl(Network({"set", "web", "--clear", "--deny-all"})).code == 2);
  CHECK(node.Ctl(Network({"set", "nobody", "--clear"})).code == 3);
  CHECK(node.state().network_sets.size() == 3);
}

TEST_CASE("run, explain and reserve take the network's options", "[clawctl]") {
  Fixture node;
  const auto ask = [&](const std::string& command, const Words& more) {
    Words words = {"node", command, "--image", "busybox:1", "--tenant", "acme"};
    words.insert(words.end(), more.begin(), more.end());
    return node.Ctl(words);
  };
  const Words more = {"--network",
                      "bridge",
                      "--allow-to",
                      "a.example:443",
                      "--allow-from",
                      "tenant",
                      "--allow-dns",
                      "--egress-rate",
                      "1Mi",
                      "--ingress-rate",
                      "2Mi",
                      "--connections",
                      "9",
                      "-p",
                      "8080:80",
                      "--publish",
                      "127.0.0.1:53:53/udp",
                      "-p",
                      "[::1]:8081:81/tcp"};
  CHECK(ask("explain", more).code == 12);
  CHECK(ask("reserve", more).code == 0);
  CHECK(ask("run", {"-d", "--network", "none"}).code == 0);
  CHECK(ask("run", {"-d"}).code == 0);
  CHECK(node.state().explains[0].spec().SerializeAsString() ==
        node.state().reserves[0].spec().SerializeAsString());
  const pb::NetworkSpec& spec = node.state().reserves[0].spec().network();
  CHECK(spec.mode() == pb::NETWORK_MODE_BRIDGE);
  CHECK(spec.policy().egress(0).dns_name() == "a.example");
  CHECK(spec.policy().ingress_size() == 1);
  CHECK(spec.policy().dns());
  CHECK(spec.policy().egress_bytes_per_second() == kMiB);
  CHECK(spec.policy().ingress_bytes_per_second() == 2 * kMiB);
  CHECK(spec.policy().connections_max() == 9);
  REQUIRE(spec.ports_size() == 3);
  CHECK(spec.ports(0).host_port() == 8080);
  CHECK(spec.ports(0).sandbox_port() == 80);
  CHECK(spec.ports(0).host_address().empty());
  CHECK(spec.ports(1).host_address() == "127.0.0.1");
  CHECK(spec.ports(1).protocol() == pb::NETWORK_PROTOCOL_UDP);
  CHECK(spec.ports(2).host_address() == "::1");
  REQUIRE(node.state().creates.size() == 2);
  CHECK(node.state().creates[0].spec().network().mode() == pb::NETWORK_MODE_NONE);
  CHECK_FALSE(node.state().creates[0].spec().network().has_policy());
  CHECK_FALSE(node.state().creates[1].spec().has_network());
  for (const char* bad :
       {"80", "80:", ":80", "0:80", "80:65536", "80:80/sctp", "80:80/", "localhost:80:80",
        "::1:80:80", "[10.0.0.1]:80:80", "10.0.0.0/8:80:80", "[]:80:80", "1:2:3:4"}) {
    INFO(bad);
    const auto result = ask("reserve", {"-p", bad});
    CHECK(result.code == 2);
    CHECK_THAT(result.err, Contains("--publish"));
  }
  CHECK(ask("reserve", {"--network", "host"}).code == 2);
  CHECK(ask("reserve", {"--network", "none", "-p", "80:80"}).code == 2);
  CHECK(ask("reserve", {"--allow-to", "a:b"}).code == 2);
  CHECK(node.state().reserves.size() == 1);
}

TEST_CASE("ps and inspect show the addresses of a sandbox", "[clawctl]") {
  Fixture node;
  node.state().sandboxes = {MakeSandbox("aa11000000000001", "web", pb::SANDBOX_STATE_RUNNING)};
  pb::Sandbox& sandbox = node.state().sandboxes[0];
  *sandbox.mutable_network() = MakeNetwork("aa11000000000001", "web").status();
  *sandbox.mutable_spec()->mutable_network()->add_ports() =
      MakeNetwork("aa11000000000001", "web").ports(0);
  CHECK_THAT(node.Ctl({"node", "ps", "-o", "wide"}).out,
             Contains("ADDRESS") && Contains("10.88.0.5,fd00::5"));
  CHECK_THAT(node.Ctl({"node", "inspect", "web", "-o", "table"}).out,
             Contains("bridge, 10.88.0.5, fd00::5, veth1a2b3c4d at clawlet0") &&
                 Contains("[::1]:8080 -> 80/tcp"));
  sandbox.mutable_network()->Clear();
  sandbox.mutable_network()->set_mode(pb::NETWORK_MODE_NONE);
  CHECK_THAT(node.Ctl({"node", "inspect", "web", "-o", "table"}).out, Contains("none"));
}

}  // namespace
}  // namespace claw::ctl::testing
