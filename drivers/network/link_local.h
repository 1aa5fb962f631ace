#pragma once

#include <string>
#include <string_view>

namespace claw::network {

// The link-local address of IPv6 that Linux makes of a MAC address (EUI-64): "0a:58:01:02:03:04"
// has "fe80::858:1ff:fe02:304".
std::string LinkLocal(std::string_view mac);

}  // namespace claw::network
