#pragma once

// What sets of nftables have to hold so that they accept what rules accept. Pure.

#include <string>
#include <vector>

#include "agent/model/network.h"

namespace claw::network {

// A box in the space of addresses, protocols and ports: an element of a set.
struct SetElement {
  IpPrefix prefix{};
  int first_protocol = 0;  // numbers of IANA's
  int last_protocol = 255;
  int first_port = 0;  // of whoever is called; anything, where the protocol has none
  int last_port = 65535;

  bool operator==(const SetElement&) const = default;
};

// The boxes of one family that rules accept together. No two of them overlap, for such a set takes
// no others: 10.0.0.0/8:443 beside 10.1.0.0/16:400-500 leaves of the second what the first has not.
// Rules with names and with the tenant as their peer are left out.
std::vector<SetElement> Elements(const std::vector<NetworkRule>& rules, bool v6);

// What rules with the tenant as their peer accept of its sandboxes. The prefixes say nothing.
std::vector<SetElement> TenantElements(const std::vector<NetworkRule>& rules, bool v6);

// "10.0.0.0/8 . 6 . 80-90", and the same without an address.
std::string ElementText(const SetElement& element);
std::string ServiceText(const SetElement& element);

// Those of these prefixes of one family that lie in no other of them, sorted.
std::vector<IpPrefix> Outermost(std::vector<IpPrefix> prefixes, bool v6);

}  // namespace claw::network
