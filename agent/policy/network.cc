#include "agent/policy/network.h"

#include <algorithm>
#include <string>

#include "agent/base/strings.h"

namespace claw::policy {
namespace {

// Half of the addresses there are, or more, is nobody in particular.
bool NamesNobody(const NetworkRule& rule) {
  return rule.kind == PeerKind::kPrefix && rule.prefix.bits < 2;
}

bool IsAllowList(const NetworkPolicy& policy) {
  return !policy.egress.empty() &&
         std::none_of(policy.egress.begin(), policy.egress.end(), NamesNobody);
}

void DescribeRules(std::string_view way, const std::vector<NetworkRule>& before,
                   const std::vector<NetworkRule>& after, std::vector<std::string>& parts) {
  const auto has = [](const std::vector<NetworkRule>& rules, const NetworkRule& rule) {
    return std::find(rules.begin(), rules.end(), rule) != rules.end();
  };
  for (const NetworkRule& rule : before) {
    if (!has(after, rule)) parts.push_back(StrCat(way, " ", ToString(rule), " is allowed no more"));
  }
  for (const NetworkRule& rule : after) {
    if (!has(before, rule)) parts.push_back(StrCat(way, " ", ToString(rule), " is allowed"));
  }
}

void DescribeNumber(std::string_view what, int64_t before, int64_t after,
                    std::vector<std::string>& parts) {
  if (before == after) return;
  const auto show = [](int64_t value) {
    return value == 0 ? std::string("no bound") : StrCat(value);
  };
  parts.push_back(StrCat(what, " ", show(before), " -> ", show(after)));
}

// A policy may have hundreds of rules, and an event has to be read.
constexpr size_t kMostDescribed = 16;

}  // namespace

NetworkMode DecideNetwork(const NetworkSpec& spec, const Tenant& tenant) {
  if (spec.mode) return *spec.mode;
  if (spec.policy || !spec.ports.empty()) return NetworkMode::kBridge;
  const bool by_trust = tenant.trust == Trust::kTrusted && !tenant.network_policy.empty();
  return by_trust ? NetworkMode::kBridge : NetworkMode::kNone;
}

Status CheckNetwork(NetworkMode mode, IsolationClass isolation,
                    const std::vector<NetworkPolicy>& policies) {
  if (mode == NetworkMode::kNone || isolation != IsolationClass::kLegacyHardened) {
    return absl::OkStatus();
  }
  // What passes is allowed by all of them, so one list is enough.
  if (std::any_of(policies.begin(), policies.end(), IsAllowList)) return absl::OkStatus();
  return MakeError(StatusCode::kFailedPrecondition,
                   "legacy code on a hardened node may be connected only under a policy that lists "
                   "whom it may call",
                   {.reason = "ALLOW_LIST_REQUIRED",
                    .constraint = "network.policy",
                    .needed = "a policy whose egress rules name prefixes of 2 bits or more, DNS "
                              "names or the tenant",
                    .available = policies.empty() ? "no policy" : "no such list"});
}

std::string DescribeChange(const NetworkPolicy& before, const NetworkPolicy& after) {
  std::vector<std::string> parts;
  DescribeRules("to", before.egress, after.egress, parts);
  DescribeRules("from", before.ingress, after.ingress, parts);
  DescribeNumber("bytes a second out", before.egress_bytes_per_second,
                 after.egress_bytes_per_second, parts);
  DescribeNumber("bytes a second in", before.ingress_bytes_per_second,
                 after.ingress_bytes_per_second, parts);
  DescribeNumber("connections", before.connections_max, after.connections_max, parts);
  if (before.dns != after.dns) {
    parts.emplace_back(after.dns ? "DNS is allowed" : "DNS is allowed no more");
  }
  if (parts.size() > kMostDescribed) {
    const size_t more = parts.size() - kMostDescribed;
    parts.resize(kMostDescribed);
    parts.push_back(StrCat("and ", more, " more changes"));
  }
  return Join(parts, ", ");
}

}  // namespace claw::policy
