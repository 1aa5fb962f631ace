#include "agent/base/endpoint.h"

#include <rapidcheck/catch.h>
#include <catch2/catch.hpp>

namespace claw {
namespace {

std::vector<PortRange> AnyPorts() {
  std::vector<PortRange> ports;
  for (int i = *rc::gen::inRange(0, 4); i > 0; --i) {
    const int first = *rc::gen::inRange(1, 65536);
    const bool single = *rc::gen::arbitrary<bool>();
    ports.push_back({first, single ? first : *rc::gen::inRange(first, 65536)});
  }
  return ports;
}

TEST_CASE("an endpoint reads as it is written") {
  rc::prop("any", [] {
    Endpoint endpoint{
        .peer = *rc::gen::element<std::string>("10.0.0.0/8", "10.1.2.3", "fd00::/8", "::1", "::/0",
                                               "tenant", "api.example.com", "_dns.x-1"),
        .ports = AnyPorts()};
    endpoint.protocol = endpoint.ports.empty() ? static_cast<Protocol>(*rc::gen::inRange(0, 4))
                                               : *rc::gen::element(Protocol::kTcp, Protocol::kUdp);
    RC_ASSERT(ParseEndpoint(ToString(endpoint)).value() == endpoint);
  });
  rc::prop("of what reads, the text reads as the same", [] {
    auto text = *rc::gen::element<std::string>("10.0.0.0/8:443/tcp", "[fd00::/8]:53,80-90/udp",
                                               "fd00::1/icmp", "api.example:443");
    text[*rc::gen::inRange<size_t>(0, text.size())] = *rc::gen::element(
        '1', '0', '.', ':', '/', '[', ']', ',', '-', 't', 'u', 'd', 'p', 'a', 'f', ' ');
    const auto endpoint = ParseEndpoint(text);
    if (!endpoint.ok()) return;
    // What no rule takes for a peer may read as something else.
    if (endpoint->peer.find_first_of("[]/ ") != std::string::npos) return;
    const auto again = ParseEndpoint(ToString(*endpoint));
    RC_ASSERT(again.ok());
    RC_ASSERT(*again == *endpoint);
  });
}

TEST_CASE("the forms that people write") {
  struct Case {
    const char* text;
    Endpoint endpoint;
  };
  const Case cases[] = {
      {"10.0.0.0/8:443/tcp", {"10.0.0.0/8", {{443, 443}}, Protocol::kTcp}},
      {"10.0.0.0/8:443", {"10.0.0.0/8", {{443, 443}}, Protocol::kTcp}},
      {"10.0.0.0/8", {"10.0.0.0/8", {}, Protocol::kAny}},
      {"10.0.0.0/8/any", {"10.0.0.0/8", {}, Protocol::kAny}},
      {"10.0.0.0/8/icmp", {"10.0.0.0/8", {}, Protocol::kIcmp}},
      {"10.0.0.1/udp", {"10.0.0.1", {}, Protocol::kUdp}},
      {"[fd00::/8]:53,8000-8080/udp", {"fd00::/8", {{53, 53}, {8000, 8080}}, Protocol::kUdp}},
      {"[fd00::/8]:53", {"fd00::/8", {{53, 53}}, Protocol::kTcp}},
      {"[fd00::/8]", {"fd00::/8", {}, Protocol::kAny}},
      {"[fd00::/8]/tcp", {"fd00::/8", {}, Protocol::kTcp}},
      {"fd00::/8", {"fd00::/8", {}, Protocol::kAny}},
      {"fd00::/8/icmp", {"fd00::/8", {}, Protocol::kIcmp}},
      {"fd00::1/udp", {"fd00::1", {}, Protocol::kUdp}},
      // No ports: it is an address.
      {"fd00::1:443", {"fd00::1:443", {}, Protocol::kAny}},
      {"api.example.com:443", {"api.example.com", {{443, 443}}, Protocol::kTcp}},
      {"tenant:1-65535/udp", {"tenant", {{1, 65535}}, Protocol::kUdp}},
  };
  for (const auto& [text, expected] : cases) {
    INFO(text);
    const auto endpoint = ParseEndpoint(text);
    REQUIRE(endpoint.ok());
    CHECK(*endpoint == expected);
  }
}

TEST_CASE("what is no endpoint is refused") {
  const char* const cases[] = {
      "",           ":443",          "/tcp",        "[]",          "[]:443",
      "[fd00::/8",  "[fd00::/8]443", "[fd00::/8]:", "[fd00::/8]]", "a:",
      "a:/tcp",     "a:0",           "a:65536",     "a:-1",        "a:+1",
      "a: 1",       "a:1-",          "a:-",         "a:2-1",       "a:1-2-3",
      "a:1,",       "a:,1",          "a:1,,2",      "a:http",      "a:99999999999999999999",
      "a:443/sctp", "a:443/TCP",     "a:443/",      "a:443/any",   "a:443/icmp",
      "a/"};
  for (const std::string text : cases) {
    INFO(text);
    CHECK(ParseEndpoint(text).status().code() == StatusCode::kInvalidArgument);
  }
  rc::prop("anything, never a crash", [](const std::string& text) {
    const Status status = ParseEndpoint(text).status();
    RC_ASSERT((status.ok() || status.code() == StatusCode::kInvalidArgument));
  });
}

TEST_CASE("protocols by name") {
  for (const Protocol protocol :
       {Protocol::kAny, Protocol::kTcp, Protocol::kUdp, Protocol::kIcmp}) {
    CHECK(ParseProtocol(ToString(protocol)).value() == protocol);
  }
  CHECK_FALSE(ParseProtocol("").ok());
  CHECK_FALSE(ParseProtocol("6").ok());
}

}  // namespace
}  // namespace claw
