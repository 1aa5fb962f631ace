#include "drivers/network/elements.h"

#include <rapidcheck.h>

#include <algorithm>
#include <catch2/catch.hpp>

#include "agent/base/strings.h"

namespace claw::network {
namespace {

NetworkRule Rule(std::string_view text) { return ParseNetworkRule(text).value(); }

std::vector<std::string> Texts(const std::vector<std::string_view>& rules, bool v6 = false) {
  std::vector<NetworkRule> parsed;
  for (const std::string_view text : rules) parsed.push_back(Rule(text));
  std::vector<std::string> texts;
  for (const SetElement& element : Elements(parsed, v6)) texts.push_back(ElementText(element));
  return texts;
}

struct Packet {
  IpAddress peer{};
  int protocol = 0;
  int port = 0;
};

bool Accepts(const NetworkRule& rule, const Packet& packet) {
  if (rule.kind != PeerKind::kPrefix || !Contains(rule.prefix, packet.peer)) return false;
  const int icmp = packet.peer.v6 ? 58 : 1;
  if (rule.protocol == Protocol::kTcp && packet.protocol != 6) return false;
  if (rule.protocol == Protocol::kUdp && packet.protocol != 17) return false;
  if (rule.protocol == Protocol::kIcmp && packet.protocol != icmp) return false;
  return rule.ports.empty() ||
         std::any_of(rule.ports.begin(), rule.ports.end(), [&](const PortRange& range) {
           return range.first <= packet.port && packet.port <= range.last;
         });
}

bool Accepts(const SetElement& element, const Packet& packet) {
  return Contains(element.prefix, packet.peer) && element.first_protocol <= packet.protocol &&
         packet.protocol <= element.last_protocol && element.first_port <= packet.port &&
         packet.port <= element.last_port;
}

bool Meet(const SetElement& a, const SetElement& b) {
  return Overlap(a.prefix, b.prefix) && a.first_protocol <= b.last_protocol &&
         b.first_protocol <= a.last_protocol && a.first_port <= b.last_port &&
         b.first_port <= a.last_port;
}

// Few addresses and ports, so that they meet.
IpPrefix SomePrefix() {
  const bool v6 = *rc::gen::element(false, false, true);
  const int width = v6 ? 128 : 32;
  IpAddress address{.v6 = v6};
  const int bits = *rc::gen::element(0, 1, 2, 3, width - 2, width - 1, width);
  const auto head = *rc::gen::inRange(0, 8);
  const auto tail = *rc::gen::inRange(0, 4);
  address.bytes[0] = static_cast<uint8_t>(head << 5);
  address.bytes[static_cast<size_t>(width / 8 - 1)] = static_cast<uint8_t>(tail);
  for (int bit = bits; bit < width; ++bit) {
    address.bytes[static_cast<size_t>(bit / 8)] &= static_cast<uint8_t>(~(0x80u >> (bit % 8)));
  }
  return {.address = address, .bits = bits};
}

int SomePort() { return *rc::gen::element(1, 2, 3, 5, 8, 9, 65534, 65535); }

NetworkRule SomeRule() {
  NetworkRule rule{.prefix = SomePrefix()};
  rule.protocol =
      *rc::gen::element(Protocol::kAny, Protocol::kTcp, Protocol::kUdp, Protocol::kIcmp);
  if (rule.protocol == Protocol::kTcp || rule.protocol == Protocol::kUdp) {
    const int count = *rc::gen::inRange(0, 4);
    for (int i = 0; i < count; ++i) {
      const int a = SomePort();
      const int b = SomePort();
      rule.ports.push_back({.first = std::min(a, b), .last = std::max(a, b)});
    }
  }
  return rule;
}

TEST_CASE("elements accept what rules accept, and do not overlap") {
  const auto holds = rc::check([] {
    std::vector<NetworkRule> rules;
    const int count = *rc::gen::inRange(0, 12);
    for (int i = 0; i < count; ++i) rules.push_back(SomeRule());
    for (const bool v6 : {false, true}) {
      const auto elements = Elements(rules, v6);
      for (size_t i = 0; i < elements.size(); ++i) {
        RC_ASSERT(elements[i].prefix.address.v6 == v6);
        for (size_t k = 0; k < i; ++k) RC_ASSERT(!Meet(elements[i], elements[k]));
      }
      for (int i = 0; i < 40; ++i) {
        Packet packet{.peer = SomePrefix().address,
                      .protocol = *rc::gen::element(0, 1, 2, 6, 17, 47, 58, 255),
                      .port = *rc::gen::element(0, 1, 2, 3, 4, 5, 8, 9, 10, 65534, 65535)};
        if (packet.peer.v6 != v6) continue;
        // Port 0 is nobody's that a rule names.
        const bool by_rules = std::any_of(rules.begin(), rules.end(),
                                          [&](const auto& rule) { return Accepts(rule, packet); });
        const bool by_elements =
            std::any_of(elements.begin(), elements.end(),
                        [&](const auto& element) { return Accepts(element, packet); });
        RC_ASSERT(by_rules == by_elements);
      }
    }
  });
  REQUIRE(holds);
}

TEST_CASE("elements of rules that overlap") {
  CHECK(Texts({"10.0.0.0/8:443", "10.1.0.0/16:443"}) ==
        std::vector<std::string>{"10.0.0.0/8 . 6 . 443"});
  CHECK(Texts({"10.1.0.0/16:400-500", "10.0.0.0/8:443"}) ==
        std::vector<std::string>{"10.0.0.0/8 . 6 . 443", "10.1.0.0/16 . 6 . 400-442",
                                 "10.1.0.0/16 . 6 . 444-500"});
  CHECK(Texts({"10.0.0.0/8:443", "10.0.0.0/8:444", "10.0.0.0/8:80,81,90"}) ==
        std::vector<std::string>{"10.0.0.0/8 . 6 . 80-81", "10.0.0.0/8 . 6 . 90",
                                 "10.0.0.0/8 . 6 . 443-444"});
  CHECK(Texts({"0.0.0.0/0", "10.0.0.0/8:443"}) ==
        std::vector<std::string>{"0.0.0.0/0 . 0-255 . 0-65535"});
  CHECK(Texts({"0.0.0.0/0/icmp", "10.0.0.0/8"}) ==
        std::vector<std::string>{"0.0.0.0/0 . 1 . 0-65535", "10.0.0.0/8 . 6 . 0-65535",
                                 "10.0.0.0/8 . 17 . 0-65535", "10.0.0.0/8 . 0 . 0-65535",
                                 "10.0.0.0/8 . 2-5 . 0-65535", "10.0.0.0/8 . 7-16 . 0-65535",
                                 "10.0.0.0/8 . 18-255 . 0-65535"});
  CHECK(Texts({"fd00::/8/icmp", "10.0.0.0/8"}, true) ==
        std::vector<std::string>{"fd00::/8 . 58 . 0-65535"});
  CHECK(Texts({"tenant:80", "a.example:80"}).empty());
}

TEST_CASE("what rules with the tenant accept") {
  const auto elements =
      TenantElements({Rule("tenant:80"), Rule("tenant:81"), Rule("10.0.0.0/8")}, false);
  REQUIRE(elements.size() == 1);
  CHECK(ServiceText(elements[0]) == "6 . 80-81");
}

TEST_CASE("outermost prefixes") {
  std::vector<IpPrefix> prefixes;
  for (const char* text : {"10.1.0.0/16", "10.0.0.0/8", "fd00::/8", "10.0.0.0/8", "11.0.0.0/8"}) {
    prefixes.push_back(*ParseIpPrefix(text));
  }
  CHECK(Outermost(prefixes, false) ==
        std::vector<IpPrefix>{*ParseIpPrefix("10.0.0.0/8"), *ParseIpPrefix("11.0.0.0/8")});
  CHECK(Outermost(prefixes, true) == std::vector<IpPrefix>{*ParseIpPrefix("fd00::/8")});
}

}  // namespace
}  // namespace claw::network
