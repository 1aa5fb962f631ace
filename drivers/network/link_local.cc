#include "drivers/network/link_local.h"

#include <array>
#include <charconv>

#include "agent/base/ip.h"
#include "agent/base/strings.h"

namespace claw::network {

std::string LinkLocal(std::string_view mac) {
  std::array<uint8_t, 6> bytes{};
  size_t count = 0;
  for (const std::string_view part : Split(mac, ':')) {
    if (count == bytes.size()) return "";
    if (std::from_chars(part.begin(), part.end(), bytes[count], 16).ec != std::errc()) return "";
    ++count;
  }
  if (count != bytes.size()) return "";
  IpAddress address{.v6 = true, .bytes = {0xfe, 0x80}};
  address.bytes[8] = bytes[0] ^ 2;
  address.bytes[9] = bytes[1];
  address.bytes[10] = bytes[2];
  address.bytes[11] = 0xff;
  address.bytes[12] = 0xfe;
  address.bytes[13] = bytes[3];
  address.bytes[14] = bytes[4];
  address.bytes[15] = bytes[5];
  return ToString(address);
}

}  // namespace claw::network
