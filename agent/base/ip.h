#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "agent/base/status.h"

namespace claw {

// An IPv4 or IPv6 address. Value type, ordered: all of IPv4 before IPv6.
struct IpAddress {
  bool v6 = false;
  std::array<uint8_t, 16> bytes{};  // in network order; of IPv4 the first four

  auto operator<=>(const IpAddress&) const = default;
};

// "10.0.0.1", "fd00::1"; no zone, no brackets. An IPv4 address mapped into IPv6 is refused, since
// it would be judged by other rules than it travels by. INVALID_ARGUMENT for anything else.
StatusOr<IpAddress> ParseIpAddress(std::string_view text);
std::string ToString(const IpAddress& address);

// All addresses that begin with the same `bits`.
struct IpPrefix {
  IpAddress address{};
  int bits = 0;  // 0 to 32, or to 128

  auto operator<=>(const IpPrefix&) const = default;
};

// "10.0.0.0/8", "fd00::/8", or one address. INVALID_ARGUMENT for anything else, and for one with
// bits set beyond its length: "10.0.0.1/8" says two things.
StatusOr<IpPrefix> ParseIpPrefix(std::string_view text);
// As ParseIpPrefix reads it, always with its length.
std::string ToString(const IpPrefix& prefix);

bool Contains(const IpPrefix& prefix, const IpAddress& address);
bool Overlap(const IpPrefix& a, const IpPrefix& b);

// The address so many behind the prefix's first. It has to lie in the prefix.
IpAddress AddressAt(const IpPrefix& prefix, uint64_t offset);

}  // namespace claw
