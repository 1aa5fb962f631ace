#include "agent/app/network_keys.h"

#include <algorithm>

#include "agent/app/key_makers.h"
#include "agent/base/strings.h"

namespace claw {
namespace {

using keys::Checked;
using keys::Switch;

// The kernel takes 15 bytes for an interface, and a number follows.
constexpr size_t kMaxNameBytes = 11;
// A node has a bridge for each /22, and the kernel has better things to do with more of them.
constexpr int kMinIpv4Bits = 12;
constexpr int kMaxIpv4Bits = 29;
constexpr int kMinIpv6Bits = 48;
constexpr int kMaxIpv6Bits = 112;

template <typename Parse>
auto List(const std::string& text, char separator, Parse parse)
    -> StatusOr<std::vector<std::decay_t<decltype(*parse(std::string_view()))>>> {
  std::vector<std::decay_t<decltype(*parse(std::string_view()))>> list;
  for (const std::string_view item : Split(text, separator, true)) {
    const std::string_view word = Trim(item);
    if (word.empty()) continue;
    ASSIGN_OR_RETURN(auto one, parse(word));
    list.push_back(std::move(one));
  }
  return list;
}

StatusOr<std::string> ParseAddressText(std::string_view text) {
  ASSIGN_OR_RETURN(const IpAddress address, ParseIpAddress(text));
  return ToString(address);
}

StatusOr<std::filesystem::path> ParseFolder(std::string_view text) {
  if (!text.starts_with('/')) return InvalidArgument("'", text, "' is not an absolute path");
  return std::filesystem::path(text).lexically_normal();
}

StatusOr<std::string> ParseDomain(std::string_view text) {
  ASSIGN_OR_RETURN(const NetworkRule rule, ParseNetworkRule(text));
  if (rule.kind != PeerKind::kName) return InvalidArgument("'", text, "' is not a DNS name");
  return rule.name;
}

StatusOr<NetworkRule> ParseException(std::string_view text) {
  ASSIGN_OR_RETURN(NetworkRule rule, ParseNetworkRule(text));
  if (rule.kind != PeerKind::kPrefix) {
    return InvalidArgument("'", text, "' has to name addresses, as in \"10.0.0.1:53/udp\"");
  }
  return rule;
}

// As resolv.conf(5) has them; what cannot be read is passed over, as the C library does.
std::vector<IpAddress> NameServers(std::string_view resolv_conf) {
  std::vector<IpAddress> servers;
  for (const std::string_view line : Split(resolv_conf, '\n', true)) {
    std::string text(line);
    std::replace(text.begin(), text.end(), '\t', ' ');
    const std::vector<std::string_view> words = Split(text, ' ', true);
    if (words.size() < 2 || words[0] != "nameserver") continue;
    const StatusOr<IpAddress> address = ParseIpAddress(words[1]);
    if (address.ok()) servers.push_back(*address);
  }
  return servers;
}

bool IsLoopback(const IpAddress& address) {
  return address.v6 ? ToString(address) == "::1" : address.bytes[0] == 127;
}

Status CheckName(const std::string& name) {
  const auto fits = [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; };
  if (!name.empty() && name.size() <= kMaxNameBytes &&
      std::all_of(name.begin(), name.end(), fits)) {
    return absl::OkStatus();
  }
  return InvalidArgument("has to be of 1 to ", kMaxNameBytes, " letters a to z");
}

Status CheckRange(const std::string& text, bool v6, int min_bits, int max_bits) {
  ASSIGN_OR_RETURN(const IpPrefix range, ParseIpPrefix(text));
  if (range.address.v6 == v6 && range.bits >= min_bits && range.bits <= max_bits) {
    return absl::OkStatus();
  }
  return InvalidArgument("has to be a range of ", v6 ? "IPv6" : "IPv4", " of ", min_bits, " to ",
                         max_bits, " bits");
}

template <typename Parse>
std::function<Status(const std::string&)> EachIs(char separator, Parse parse) {
  return
      [separator, parse](const std::string& text) { return List(text, separator, parse).status(); };
}

}  // namespace

void AddNetworkKeys(std::vector<ConfigKey>& keys) {
  keys.push_back(Switch("network.enabled", "Sandboxes may be connected, as their policies allow",
                        FIELD(network.enabled)));
  keys.push_back(Checked("network.name",
                         "Of the tables of rules; bridges are called so, with a number",
                         "a name of 1 to 11 letters", CheckName, FIELD(network.name)));
  keys.push_back(Checked("network.cni_path", "Folders of CNI plugins", "\"/FOLDER:/FOLDER\"",
                         EachIs(':', ParseFolder), FIELD(network.cni_path)));
  keys.push_back(Checked(
      "network.ipv4", "Addresses of sandboxes; the default has room for 8,168 of them",
      "a range, as in \"10.222.0.0/19\"",
      [](const std::string& text) { return CheckRange(text, false, kMinIpv4Bits, kMaxIpv4Bits); },
      FIELD(network.ipv4)));
  keys.push_back(Checked(
      "network.ipv6", "The same for IPv6; none if empty", "a range, or \"\" for none",
      [](const std::string& text) {
        return text.empty() ? absl::OkStatus() : CheckRange(text, true, kMinIpv6Bits, kMaxIpv6Bits);
      },
      FIELD(network.ipv6)));
  keys.push_back(
      Checked("network.dns_servers", "Whom sandboxes and the agent ask; the host's unless set",
              "\"ADDRESS,ADDRESS\"", EachIs(',', ParseAddressText), FIELD(network.dns_servers)));
  keys.push_back(Checked("network.dns_search", "Domains in which sandboxes look for short names",
                         "\"DOMAIN,DOMAIN\"", EachIs(',', ParseDomain), FIELD(network.dns_search)));
  keys.push_back(Switch("network.masquerade",
                        "Sandboxes speak to the world with the host's address",
                        FIELD(network.masquerade)));
  keys.push_back(Checked("network.denied", "Always denied, beside what always is", "\"CIDR,CIDR\"",
                         EachIs(',', ParseIpPrefix), FIELD(network.denied)));
  keys.push_back(Checked("network.exceptions",
                         "What a policy may allow although it is always denied",
                         "\"CIDR:PORTS/PROTOCOL …\", separated by blanks",
                         EachIs(' ', ParseException), FIELD(network.exceptions)));
}

StatusOr<network::NetworkConfig> MakeNetworkConfig(const Config& config,
                                                   std::string_view resolv_conf) {
  const Config::Network& from = config.network;
  network::NetworkConfig to;
  to.name = from.name;
  to.run_dir = config.run_dir / "network";
  ASSIGN_OR_RETURN(to.cni_path, List(from.cni_path, ':', ParseFolder));
  ASSIGN_OR_RETURN(to.ipv4_range, ParseIpPrefix(from.ipv4));
  if (!from.ipv6.empty()) {
    ASSIGN_OR_RETURN(to.ipv6_range, ParseIpPrefix(from.ipv6));
  }
  ASSIGN_OR_RETURN(to.dns_servers, List(from.dns_servers, ',', ParseAddressText));
  to.resolvers = to.dns_servers;
  if (to.dns_servers.empty()) {
    for (const IpAddress& server : NameServers(resolv_conf)) {
      to.resolvers.push_back(ToString(server));
      if (!IsLoopback(server)) to.dns_servers.push_back(ToString(server));
    }
  }
  ASSIGN_OR_RETURN(to.dns_search, List(from.dns_search, ',', ParseDomain));
  to.masquerade = from.masquerade;
  ASSIGN_OR_RETURN(to.denied, List(from.denied, ',', ParseIpPrefix));
  ASSIGN_OR_RETURN(to.exceptions, List(from.exceptions, ' ', ParseException));
  return to;
}

}  // namespace claw
