#pragma once

// The part of the rules that is the same whatever sandboxes there are. Pure.

#include <cstdint>
#include <string>
#include <vector>

#include "drivers/network/network.h"
#include "drivers/network/script.h"

namespace claw::network {

// Where denied packets are logged to: the NFLOG group, "cl" in ASCII.
constexpr uint16_t kLogGroup = 0x636c;

// A chain that the kernel calls. Without one of them nothing is protected.
struct Hook {
  std::string family{};  // "inet", "bridge"
  std::string chain{};
  int number = 0;    // of the hook: 0 prerouting, 1 input, 2 forward, 3 output, 4 postrouting
  int priority = 0;  // lower ones are called first
  int rules = 0;
};

// Adds the tables, with what Ruleset then fills, to the script. Answers with the hooks.
std::vector<Hook> MakeFrame(const NetworkConfig& config, Script& script);

// What stands for a family of IP in the names of sets and in rules.
struct Family {
  std::string_view suffix;   // "4", "6"
  std::string_view ip;       // "ip", "ip6"
  std::string_view type;     // of addresses in sets
  std::string_view related;  // matches errors about a connection that is known
};
constexpr Family kFamily4{"4", "ip", "ipv4_addr", "ct state related icmp type @errors4"};
constexpr Family kFamily6{"6", "ip6", "ipv6_addr", "ct state related icmpv6 type @errors6"};

std::vector<Family> Families(const NetworkConfig& config);

}  // namespace claw::network
