#include "drivers/network/elements.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "agent/base/strings.h"

namespace claw::network {
namespace {

constexpr int kTcp = 6;
constexpr int kUdp = 17;
constexpr PortRange kAllPorts{.first = 0, .last = 65535};

using Spans = std::vector<PortRange>;  // sorted, apart from each other

Spans Merge(Spans spans) {
  std::sort(spans.begin(), spans.end());
  Spans merged;
  for (const PortRange& span : spans) {
    if (!merged.empty() && span.first <= merged.back().last + 1) {
      merged.back().last = std::max(merged.back().last, span.last);
    } else {
      merged.push_back(span);
    }
  }
  return merged;
}

Spans Subtract(const Spans& from, const Spans& what) {
  Spans left;
  for (PortRange span : from) {
    for (const PortRange& hole : what) {
      if (hole.last < span.first || hole.first > span.last) continue;
      if (hole.first > span.first) left.push_back({.first = span.first, .last = hole.first - 1});
      span.first = hole.last + 1;
    }
    if (span.first <= span.last) left.push_back(span);
  }
  return left;
}

// What is accepted of one prefix. Only three protocols are told from the others.
struct Region {
  Spans tcp{};
  Spans udp{};
  Spans icmp{};
  Spans others{};

  void Add(const NetworkRule& rule) {
    const Spans ports = rule.ports.empty() ? Spans{kAllPorts} : rule.ports;
    const bool any = rule.protocol == Protocol::kAny;
    const auto add = [](Spans& to, const Spans& what) {
      to.insert(to.end(), what.begin(), what.end());
      to = Merge(std::move(to));
    };
    if (any || rule.protocol == Protocol::kTcp) add(tcp, ports);
    if (any || rule.protocol == Protocol::kUdp) add(udp, ports);
    if (any || rule.protocol == Protocol::kIcmp) add(icmp, ports);
    if (any) add(others, ports);
  }

  void Add(const Region& region) {
    for (const auto part : {&Region::tcp, &Region::udp, &Region::icmp, &Region::others}) {
      Spans& to = this->*part;
      const Spans& what = region.*part;
      to.insert(to.end(), what.begin(), what.end());
      to = Merge(std::move(to));
    }
  }

  [[nodiscard]] Region Without(const Region& region) const {
    return {.tcp = Subtract(tcp, region.tcp),
            .udp = Subtract(udp, region.udp),
            .icmp = Subtract(icmp, region.icmp),
            .others = Subtract(others, region.others)};
  }
};

void Emit(const IpPrefix& prefix, const Region& region, std::vector<SetElement>& elements) {
  const auto emit = [&](int first, int last, const Spans& ports) {
    for (const PortRange& span : ports) {
      elements.push_back({.prefix = prefix,
                          .first_protocol = first,
                          .last_protocol = last,
                          .first_port = span.first,
                          .last_port = span.last});
    }
  };
  if (region.tcp == region.udp && region.udp == region.icmp && region.icmp == region.others) {
    return emit(0, 255, region.others);
  }
  const int icmp = prefix.address.v6 ? 58 : 1;
  emit(kTcp, kTcp, region.tcp);
  emit(kUdp, kUdp, region.udp);
  emit(icmp, icmp, region.icmp);
  std::array<int, 3> told{kTcp, kUdp, icmp};
  std::sort(told.begin(), told.end());
  int first = 0;
  for (const int protocol : told) {
    if (first < protocol) emit(first, protocol - 1, region.others);
    first = protocol + 1;
  }
  emit(first, 255, region.others);
}

std::string Span(int first, int last) {
  return first == last ? StrCat(first) : StrCat(first, "-", last);
}

}  // namespace

std::vector<SetElement> Elements(const std::vector<NetworkRule>& rules, bool v6) {
  std::map<IpPrefix, Region> regions;  // a prefix comes before those that lie in it
  for (const NetworkRule& rule : rules) {
    if (rule.kind != PeerKind::kPrefix || rule.prefix.address.v6 != v6) continue;
    regions[rule.prefix].Add(rule);
  }
  std::vector<SetElement> elements;
  // The prefixes around the one that is looked at, each with what it and those around it accept.
  std::vector<std::pair<IpPrefix, Region>> around;
  for (const auto& [prefix, region] : regions) {
    while (!around.empty() && !Contains(around.back().first, prefix.address)) around.pop_back();
    Region accepted = around.empty() ? Region{} : around.back().second;
    Emit(prefix, region.Without(accepted), elements);
    accepted.Add(region);
    around.emplace_back(prefix, std::move(accepted));
  }
  return elements;
}

std::vector<SetElement> TenantElements(const std::vector<NetworkRule>& rules, bool v6) {
  std::vector<NetworkRule> everywhere;
  for (NetworkRule rule : rules) {
    if (rule.kind != PeerKind::kTenant) continue;
    rule.kind = PeerKind::kPrefix;
    rule.prefix = {.address = {.v6 = v6}, .bits = 0};
    everywhere.push_back(std::move(rule));
  }
  return Elements(everywhere, v6);
}

std::string ElementText(const SetElement& element) {
  return StrCat(ToString(element.prefix), " . ", ServiceText(element));
}

std::string ServiceText(const SetElement& element) {
  return StrCat(Span(element.first_protocol, element.last_protocol), " . ",
                Span(element.first_port, element.last_port));
}

std::vector<IpPrefix> Outermost(std::vector<IpPrefix> prefixes, bool v6) {
  std::sort(prefixes.begin(), prefixes.end());
  std::vector<IpPrefix> outer;
  for (const IpPrefix& prefix : prefixes) {
    if (prefix.address.v6 != v6) continue;
    if (!outer.empty() && Contains(outer.back(), prefix.address)) continue;
    outer.push_back(prefix);
  }
  return outer;
}

}  // namespace claw::network
