#include "drivers/network/subnets.h"

#include <algorithm>

#include "agent/base/strings.h"

namespace claw::network {
namespace {

constexpr int kBits4 = 22;
constexpr int kBits6 = 112;
// More bridges than that are no node's.
constexpr int kMaxSubnetBits = 10;

int SubnetBits(const IpPrefix& range, int bits) {
  return std::clamp(bits - range.bits, 0, kMaxSubnetBits);
}

IpPrefix Cut(const IpPrefix& range, int bits, int number) {
  if (range.bits >= bits) return range;
  const int width = range.address.v6 ? 128 : 32;
  const uint64_t size = uint64_t{1} << (width - bits);
  return {.address = AddressAt(range, size * static_cast<uint64_t>(number)), .bits = bits};
}

}  // namespace

std::vector<Subnet> CutRange(const NetworkConfig& config) {
  int bits = SubnetBits(config.ipv4_range, kBits4);
  if (config.ipv6_range) bits = std::min(bits, SubnetBits(*config.ipv6_range, kBits6));
  std::vector<Subnet> subnets;
  for (int number = 0; number < 1 << bits; ++number) {
    Subnet subnet{.bridge = StrCat(config.name, number),
                  .v4 = Cut(config.ipv4_range, kBits4, number)};
    subnet.gateway4 = AddressAt(subnet.v4, 1);
    subnet.room = std::max(int64_t{0}, (int64_t{1} << (32 - subnet.v4.bits)) - 3);
    if (config.ipv6_range) {
      subnet.v6 = Cut(*config.ipv6_range, kBits6, number);
      subnet.gateway6 = AddressAt(*subnet.v6, 1);
    }
    subnets.push_back(std::move(subnet));
  }
  return subnets;
}

std::string SandboxRange4(const Subnet& subnet) {
  const uint64_t last = (uint64_t{1} << (32 - subnet.v4.bits)) - 1;
  return StrCat(ToString(AddressAt(subnet.v4, 2)), "-", ToString(AddressAt(subnet.v4, last)));
}

std::string SandboxRange6(const Subnet& subnet) {
  const int free = std::min(128 - subnet.v6->bits, 63);
  const uint64_t last = (uint64_t{1} << free) - 1;
  return StrCat(ToString(AddressAt(*subnet.v6, 2)), "-", ToString(AddressAt(*subnet.v6, last)));
}

}  // namespace claw::network
