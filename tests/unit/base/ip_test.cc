#include "agent/base/ip.h"

#include <rapidcheck/catch.h>
#include <catch2/catch.hpp>

namespace claw {
namespace {

IpAddress Any() {
  IpAddress address{.v6 = *rc::gen::arbitrary<bool>()};
  const size_t size = address.v6 ? 16 : 4;
  // Few different bytes, so that runs of zeros and neighbours are common.
  for (size_t i = 0; i < size; ++i) {
    address.bytes[i] = *rc::gen::element<uint8_t>(0, 0, 1, 10, 127, 128, 169, 254, 255);
  }
  return address;
}

// The first address of those that share so many bits with it.
IpPrefix AnyPrefix() {
  IpPrefix prefix{.address = Any()};
  prefix.bits = *rc::gen::inRange(0, (prefix.address.v6 ? 128 : 32) + 1);
  for (size_t bit = static_cast<size_t>(prefix.bits); bit < 128; ++bit) {
    prefix.address.bytes[bit / 8] &= static_cast<uint8_t>(~(0x80u >> (bit % 8)));
  }
  return prefix;
}

bool IsMapped(const IpAddress& address) {
  return Contains(
      {.address = {.v6 = true, .bytes = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255}}, .bits = 96},
      address);
}

TEST_CASE("addresses and prefixes read as they are written") {
  rc::prop("address", [] {
    const IpAddress address = Any();
    RC_PRE(!IsMapped(address));
    RC_ASSERT(ParseIpAddress(ToString(address)).value() == address);
  });
  rc::prop("prefix", [] {
    const IpPrefix prefix = AnyPrefix();
    RC_PRE(!IsMapped(prefix.address));
    RC_ASSERT(ParseIpPrefix(ToString(prefix)).value() == prefix);
  });
  CHECK(ToString(ParseIpAddress("FD00:0:0::1").value()) == "fd00::1");
  CHECK(ToString(ParseIpPrefix("10.1.2.3").value()) == "10.1.2.3/32");
  CHECK(ToString(ParseIpPrefix("::1").value()) == "::1/128");
  CHECK(ToString(ParseIpPrefix("::/0").value()) == "::/0");
  CHECK(ParseIpAddress("255.255.255.255").value() < ParseIpAddress("::").value());
}

TEST_CASE("what is no address is refused") {
  const char* const cases[] = {
      "",           " ",          "1",           "1.2.3",       "1.2.3.4.5",         "1.2.3.256",
      "01.2.3.4",   "0x7f.0.0.1", " 1.2.3.4",    "1.2.3.4 ",    "1.2.3.4\n",         "1.2.3.-4",
      "1.2.3.4%lo", "fe80::1%2",  "[::1]",       ":::1",        "1::2::3",           "::fffff",
      "::1/128",    "10.0.0.0/8", "::1.2.3.256", "example.com", "1:2:3:4:5:6:7:8:9", "١.2.3.4"};
  for (const std::string text : cases) {
    INFO(text);
    CHECK(ParseIpAddress(text).status().code() == StatusCode::kInvalidArgument);
  }
  CHECK_FALSE(ParseIpAddress(std::string_view("1.2.3.4\0", 8)).ok());
  CHECK_FALSE(ParseIpAddress(std::string(1 << 20, '1')).ok());
}

TEST_CASE("an IPv4 address in IPv6's form is refused, since other rules would judge it") {
  for (const std::string text :
       {"::ffff:10.0.0.1", "::ffff:a00:1", "::FFFF:0:0", "0::ffff:1.2.3.4"}) {
    INFO(text);
    CHECK_FALSE(ParseIpAddress(text).ok());
    CHECK_FALSE(ParseIpPrefix(text + "/128").ok());
  }
  CHECK(ParseIpAddress("::fffe:10.0.0.1").ok());
  CHECK(ParseIpAddress("64:ff9b::10.0.0.1").ok());
}

TEST_CASE("what is no prefix is refused") {
  const char* const cases[] = {
      "10.0.0.0/",   "10.0.0.0/33",        "10.0.0.0/-1",         "10.0.0.0/+8",  "10.0.0.0/ 8",
      "10.0.0.0/8 ", "10.0.0.0/8/8",       "10.0.0.0/0008",       "10.0.0.0/0x8", "fd00::/129",
      "/8",          "10.0.0.0/255.0.0.0", "10.0.0.0/4294967304", "10.0.0.1/8",   "10.0.0.1/31",
      "::1/127",     "128.0.0.0/0"};
  for (const std::string text : cases) {
    INFO(text);
    CHECK(ParseIpPrefix(text).status().code() == StatusCode::kInvalidArgument);
  }
  const Status beyond = ParseIpPrefix("10.1.2.3/8").status();
  CHECK(std::string(ToStd(beyond.message())).find("'10.0.0.0/8' has not") != std::string::npos);
}

TEST_CASE("a prefix contains what begins with its bits") {
  const IpPrefix ten = ParseIpPrefix("10.0.0.0/8").value();
  CHECK(Contains(ten, ParseIpAddress("10.255.255.255").value()));
  CHECK_FALSE(Contains(ten, ParseIpAddress("11.0.0.0").value()));
  CHECK_FALSE(Contains(ten, ParseIpAddress("a00::").value()));
  CHECK_FALSE(Contains(ParseIpPrefix("0.0.0.0/0").value(), ParseIpAddress("::").value()));
  CHECK_FALSE(Contains(ParseIpPrefix("::/0").value(), ParseIpAddress("0.0.0.0").value()));
  CHECK(Contains(ParseIpPrefix("fd00::/9").value(), ParseIpAddress("fd7f::1").value()));
  CHECK_FALSE(Contains(ParseIpPrefix("fd00::/9").value(), ParseIpAddress("fd80::1").value()));
  rc::prop("two prefixes overlap if one has the other's first address", [] {
    const IpPrefix a = AnyPrefix();
    const IpPrefix b = AnyPrefix();
    const bool overlap = Contains(a, b.address) || Contains(b, a.address);
    RC_ASSERT(Overlap(a, b) == overlap);
    RC_ASSERT(Overlap(b, a) == overlap);
    RC_ASSERT(Overlap(a, a));
  });
}

TEST_CASE("addresses are counted from a prefix's first") {
  const IpPrefix net = ParseIpPrefix("10.0.0.0/16").value();
  CHECK(ToString(AddressAt(net, 0)) == "10.0.0.0");
  CHECK(ToString(AddressAt(net, 255)) == "10.0.0.255");
  CHECK(ToString(AddressAt(net, 256)) == "10.0.1.0");
  CHECK(ToString(AddressAt(net, 65535)) == "10.0.255.255");
  const IpPrefix v6 = ParseIpPrefix("fd00::/64").value();
  CHECK(ToString(AddressAt(v6, 0x1'0000)) == "fd00::1:0");
  CHECK(ToString(AddressAt(v6, ~uint64_t{0})) == "fd00::ffff:ffff:ffff:ffff");
  rc::prop("the next one is greater by one", [&] {
    const auto offset = *rc::gen::inRange<uint64_t>(0, 65535);
    const IpAddress at = AddressAt(net, offset);
    RC_ASSERT(Contains(net, at));
    RC_ASSERT(at < AddressAt(net, offset + 1));
    RC_ASSERT(AddressAt({.address = at, .bits = 32}, 1) == AddressAt(net, offset + 1));
  });
}

}  // namespace
}  // namespace claw
