#include "agent/base/ip.h"

#include <arpa/inet.h>

#include <algorithm>

#include "agent/base/strings.h"

namespace claw {
namespace {

int Width(const IpAddress& address) { return address.v6 ? 128 : 32; }

bool BitAt(const IpAddress& address, int bit) {
  const unsigned byte = address.bytes[static_cast<size_t>(bit / 8)];
  return ((byte >> (7 - bit % 8)) & 1u) != 0;
}

Status NotAnAddress(std::string_view text) {
  return InvalidArgument("'", text, "' is not an IP address");
}

}  // namespace

StatusOr<IpAddress> ParseIpAddress(std::string_view text) {
  const std::string copy(text);
  if (copy.find('\0') != std::string::npos) return InvalidArgument("an IP address holds a NUL");
  IpAddress address;
  if (::inet_pton(AF_INET, copy.c_str(), address.bytes.data()) == 1) return address;
  address.v6 = true;
  if (::inet_pton(AF_INET6, copy.c_str(), address.bytes.data()) != 1) return NotAnAddress(text);
  const IpPrefix mapped{
      .address = {.v6 = true, .bytes = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}}, .bits = 96};
  if (Contains(mapped, address)) {
    return InvalidArgument("'", text, "' is an IPv4 address in IPv6's clothes; write it as IPv4");
  }
  return address;
}

std::string ToString(const IpAddress& address) {
  char text[INET6_ADDRSTRLEN] = {};
  ::inet_ntop(address.v6 ? AF_INET6 : AF_INET, address.bytes.data(), text, sizeof(text));
  return text;
}

StatusOr<IpPrefix> ParseIpPrefix(std::string_view text) {
  const size_t slash = text.find('/');
  ASSIGN_OR_RETURN(const IpAddress address, ParseIpAddress(text.substr(0, slash)));
  IpPrefix prefix{.address = address, .bits = Width(address)};
  if (slash == std::string_view::npos) return prefix;
  int64_t bits = 0;
  const std::string_view length = text.substr(slash + 1);
  const bool digits =
      !length.empty() && length.size() <= 3 &&
      std::all_of(length.begin(), length.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!digits || !ParseInt(length, &bits) || bits > Width(address)) {
    return InvalidArgument("'", text, "' has no prefix length between 0 and ", Width(address));
  }
  prefix.bits = static_cast<int>(bits);
  IpPrefix first = prefix;
  for (int bit = prefix.bits; bit < Width(address); ++bit) {
    const auto mask = static_cast<uint8_t>(~(0x80u >> (bit % 8)));
    first.address.bytes[static_cast<size_t>(bit / 8)] &= mask;
  }
  if (first != prefix) {
    return InvalidArgument("'", text, "' has bits set beyond its length; '", ToString(first),
                           "' has not");
  }
  return prefix;
}

std::string ToString(const IpPrefix& prefix) {
  return StrCat(ToString(prefix.address), "/", prefix.bits);
}

bool Contains(const IpPrefix& prefix, const IpAddress& address) {
  if (prefix.address.v6 != address.v6) return false;
  for (int bit = 0; bit < prefix.bits; ++bit) {
    if (BitAt(prefix.address, bit) != BitAt(address, bit)) return false;
  }
  return true;
}

bool Overlap(const IpPrefix& a, const IpPrefix& b) {
  return a.bits <= b.bits ? Contains(a, b.address) : Contains(b, a.address);
}

IpAddress AddressAt(const IpPrefix& prefix, uint64_t offset) {
  IpAddress address = prefix.address;
  uint64_t carry = offset;
  for (int byte = Width(address) / 8 - 1; byte >= 0 && carry > 0; --byte) {
    const uint64_t sum = address.bytes[static_cast<size_t>(byte)] + (carry & 0xff);
    address.bytes[static_cast<size_t>(byte)] = static_cast<uint8_t>(sum & 0xff);
    carry = (carry >> 8) + (sum >> 8);
  }
  return address;
}

}  // namespace claw
