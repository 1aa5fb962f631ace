#include "drivers/network/ruleset.h"

#include <catch2/catch.hpp>

#include "agent/base/strings.h"
#include "drivers/network/attachment_files.h"
#include "drivers/network/cni_config.h"
#include "drivers/network/hosts_file.h"
#include "drivers/network/link_local.h"
#include "drivers/network/subnets.h"
#include "tests/support/temp_dir.h"

namespace claw::network {
namespace {

NetworkConfig Config() {
  NetworkConfig config;
  config.ipv4_range = *ParseIpPrefix("10.222.0.0/20");
  config.ipv6_range = *ParseIpPrefix("fd22::/96");
  return config;
}

NetworkPolicy Allow(std::string_view text) { return {.egress = {ParseNetworkRule(text).value()}}; }

NetworkPlan Plan(const std::string& id, const std::string& tenant, const NetworkPolicy& policy) {
  return {.id = id, .tenant = tenant, .layers = {{.policy = policy}}};
}

NetworkAttachment At(int n) {
  return {.ipv4 = StrCat("10.222.0.", n),
          .ipv6 = StrCat("fd22::", n),
          .mac = StrCat("0a:58:00:00:00:1", n),
          .host_interface = StrCat("veth", n),
          .bridge = "clawlet0"};
}

bool Has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("a sandbox under a policy that is known is elements alone") {
  Ruleset ruleset(Config());
  const std::string first = ruleset.Add(Plan("s1", "a", Allow("10.9.0.0/16:80")), At(2));
  CHECK(Has(first, "add chain"));
  CHECK(Has(first, "10.9.0.0/16 . 6 . 80"));
  const std::string second = ruleset.Add(Plan("s2", "a", Allow("10.9.0.0/16:80")), At(3));
  for (const std::string_view line : Split(second, '\n', true)) {
    CHECK(line.starts_with("add element "));
  }
  CHECK(Has(second,
            "add element bridge clawlet speakers4 { veth3 . 0a:58:00:00:00:13 . "
            "10.222.0.3 counter packets 0 bytes 0 }"));
  CHECK(Has(second, "veth3 . 0a:58:00:00:00:13 . fe80::858:ff:fe00:13"));
  // What goes with the last alone.
  CHECK_FALSE(Has(ruleset.Remove("s1"), "delete chain"));
  CHECK(Has(ruleset.Remove("s2"), "delete chain"));
  CHECK(ruleset.Remove("s2").empty());
}

TEST_CASE("names are told apart by their content, never by what they are called") {
  Ruleset ruleset(Config());
  auto one = Plan("s1", "a", Allow("10.9.0.0/16:80"));
  auto two = Plan("s2", "a", Allow("10.9.0.0/16:81"));
  one.layers[0].name = two.layers[0].name = "web";
  ruleset.Add(one, At(2));
  CHECK(Has(ruleset.Add(two, At(3)), "10.9.0.0/16 . 6 . 81"));
}

TEST_CASE("tenants share sets of rules, but not chains") {
  Ruleset ruleset(Config());
  ruleset.Add(Plan("s1", "a", Allow("10.9.0.0/16:80")), At(2));
  const std::string other = ruleset.Add(Plan("s2", "b", Allow("10.9.0.0/16:80")), At(3));
  CHECK(Has(other, "add chain"));
  CHECK_FALSE(Has(other, "10.9.0.0/16"));
}

TEST_CASE("without a layer nothing is allowed") {
  Ruleset ruleset(Config());
  const std::string text = ruleset.Add({.id = "s1", .tenant = "a"}, At(2));
  for (const std::string_view line : Split(text, '\n', true)) {
    if (!line.ends_with(" accept") && !line.ends_with(" passed_to")) continue;
    CHECK(Has(std::string(line), "ct state related"));
  }
}

TEST_CASE("Replace puts the new before it takes the old, and leaves the counters") {
  Ruleset ruleset(Config());
  ruleset.Add(Plan("s1", "a", Allow("10.9.0.0/16:80")), At(2));
  const std::string text = ruleset.Replace({Plan("s1", "a", Allow("10.9.0.0/16:81"))});
  CHECK(text.find("delete element inet clawlet from4") < text.find("add chain"));
  CHECK(text.find("add chain") < text.find("add element inet clawlet from4"));
  CHECK(text.find("add element inet clawlet from4") < text.find("delete chain"));
  CHECK_FALSE(Has(text, "received4"));
  CHECK_FALSE(Has(text, "speakers4"));
  CHECK(ruleset.Plan("s1").layers[0].policy == Allow("10.9.0.0/16:81"));
}

TEST_CASE("a name means what was found for it") {
  Ruleset ruleset(Config());
  const IpAddress address = *ParseIpAddress("192.0.2.7");
  CHECK(ruleset.Resolve("a.example", {address}).empty());
  CHECK(Has(ruleset.Add(Plan("s1", "a", Allow("a.example:443")), At(2)), "192.0.2.7/32 . 6 . 443"));
  CHECK(ruleset.Names() == std::set<std::string>{"a.example"});
  CHECK(ruleset.Resolve("a.example", {address, address}).empty());
  const std::string text = ruleset.Resolve("a.example", {*ParseIpAddress("192.0.2.8")});
  CHECK(text.find("flush set") < text.find("192.0.2.8/32"));
  CHECK(Has(ruleset.Whole({}), "192.0.2.8/32 . 6 . 443"));
}

TEST_CASE("everything anew goes on counting") {
  Ruleset ruleset(Config());
  ruleset.Add(Plan("s1", "a", Allow("10.9.0.0/16:80")), At(2));
  NetworkCounters counters{.egress_denied = {.packets = 3, .bytes = 180}};
  CHECK(
      Has(ruleset.Whole({{"s1", counters}}), "dfrom4 { 10.222.0.2 counter packets 3 bytes 180 }"));
  CHECK(ruleset.Owner("10.222.0.2") == "s1");
  CHECK(ruleset.Owner("10.222.0.3").empty());
}

TEST_CASE("everything anew lets nothing pass before all of it is there") {
  Ruleset ruleset(Config());
  ruleset.Add(Plan("s1", "a", Allow("10.9.0.0/16:80")), At(2));
  CHECK_FALSE(Has(ruleset.Whole({}), "inet clawlet from4 { 10."));
  CHECK_FALSE(Has(ruleset.Whole({}), "inet clawlet to4 { 10."));
  const std::string verdicts = ruleset.Verdicts();
  for (const std::string_view line : Split(verdicts, '\n', true)) {
    CHECK(line.starts_with("add element "));
  }
  CHECK(Has(verdicts, "from4 { 10.222.0.2 : jump f4_p"));
  CHECK(Has(verdicts, "to6 { fd22::2 : jump t6_p"));
}

TEST_CASE("the stricter bound of two layers") {
  Ruleset ruleset(Config());
  auto policy = Allow("10.9.0.0/16:80");
  policy.connections_max = 9;
  policy.egress_bytes_per_second = int64_t{1} << 40;
  auto plan = Plan("s1", "a", policy);
  policy.connections_max = 5;
  policy.egress_bytes_per_second = 0;
  plan.layers.push_back({.policy = policy});
  const std::string text = ruleset.Add(plan, At(2));
  CHECK(Has(text, "ct count over 5 }"));
  CHECK(Has(text, "limit rate over 17179869184 bytes/second"));
}

TEST_CASE("the range is cut for bridges") {
  auto subnets = CutRange(Config());
  REQUIRE(subnets.size() == 4);
  CHECK(subnets[1].bridge == "clawlet1");
  CHECK(ToString(subnets[1].v4) == "10.222.4.0/22");
  CHECK(ToString(*subnets[1].v6) == "fd22::1:0/112");
  CHECK(ToString(subnets[1].gateway6) == "fd22::1:1");
  CHECK(subnets[1].room == 1021);
  CHECK(SandboxRange4(subnets[0]) == "10.222.0.2-10.222.3.255");
  NetworkConfig small = Config();
  small.ipv4_range = *ParseIpPrefix("10.222.0.0/29");
  subnets = CutRange(small);
  REQUIRE(subnets.size() == 1);
  CHECK(subnets[0].room == 5);
}

TEST_CASE("what a plugin answers") {
  const std::string result = R"({"cniVersion":"0.4.0","interfaces":[{"name":"clawlet0","mac":"a"},
    {"name":"veth1","mac":"b"},{"name":"eth0","mac":"0a:58:00:00:00:01","sandbox":"/proc/1/ns/net"}],
    "ips":[{"version":"4","interface":2,"address":"10.222.0.2/22","gateway":"10.222.0.1"},
    {"version":"6","interface":2,"address":"fd22::2/112"}]})";
  const auto parsed = ParseBridgeResult(result, true);
  REQUIRE(parsed.ok());
  CHECK(*parsed == NetworkAttachment{.ipv4 = "10.222.0.2",
                                     .ipv6 = "fd22::2",
                                     .mac = "0a:58:00:00:00:01",
                                     .host_interface = "veth1",
                                     .bridge = "clawlet0"});
  for (const char* broken :
       {"", "[]", "{}", R"({"interfaces":[1]})", R"({"ips":[{"address":4}]})"}) {
    CHECK_FALSE(ParseBridgeResult(broken, false).ok());
  }
  CHECK(CniErrorMessage(R"({"code":7,"msg":"no","details":"why"})") == "no: why");
  CHECK(CniErrorMessage("exec failed\n") == "exec failed");
}

TEST_CASE("the state of an attachment is read as it was written") {
  const test::TempDir dir;
  const AttachmentFiles files(dir.path());
  const AttachmentState state{.id = "s1",
                              .bridge = "clawlet0",
                              .attachment = At(2),
                              .ports = {{.host_port = 80,
                                         .sandbox_port = 81,
                                         .protocol = Protocol::kUdp,
                                         .host_address = "10.0.0.1"}}};
  REQUIRE(files.WriteState(state).ok());
  CHECK(*files.ReadState("s1") == state);
  CHECK(*files.Ids() == std::set<std::string>{"s1"});
  CHECK(files.ReadState("s2").status().code() == StatusCode::kNotFound);
}

TEST_CASE("files that a sandbox sees") {
  auto plan = Plan("s1", "a", Allow("a.example:443"));
  plan.hostname = "box";
  const auto addresses = [](const std::string&) {
    return std::vector<IpAddress>{*ParseIpAddress("192.0.2.8")};
  };
  CHECK(Has(HostsText(plan, At(2), addresses), "10.222.0.2\tbox\n"));
  CHECK(Has(HostsText(plan, At(2), addresses), "192.0.2.8\ta.example\n"));
  NetworkConfig config = Config();
  config.dns_servers = {"192.0.2.53"};
  CHECK_FALSE(Has(ResolvConfText(config, plan), "nameserver"));
  plan.layers[0].policy.dns = true;
  CHECK(Has(ResolvConfText(config, plan), "nameserver 192.0.2.53\n"));
}

}  // namespace
}  // namespace claw::network
