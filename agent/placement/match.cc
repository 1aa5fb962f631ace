#include "agent/placement/match.h"

#include <algorithm>

#include "agent/base/strings.h"

namespace claw::placement {

std::string ToText(const std::map<std::string, std::string>& labels) {
  std::vector<std::string> parts;
  for (const auto& [key, value] : labels) parts.push_back(StrCat(key, "=", value));
  return parts.empty() ? "none" : Join(parts, ", ");
}

bool HasLabels(const Target& target, const std::map<std::string, std::string>& wanted) {
  return std::all_of(wanted.begin(), wanted.end(), [&target](const auto& label) {
    const auto it = target.labels.find(label.first);
    return it != target.labels.end() && it->second == label.second;
  });
}

std::string ToText(const Taint& taint) {
  return taint.value.empty() ? taint.key : StrCat(taint.key, "=", taint.value);
}

// The first one that is not tolerated; null: all are.
const Taint* Intolerable(const Target& target, const std::vector<std::string>& tolerations) {
  for (const Taint& taint : target.taints) {
    const bool tolerated = std::any_of(
        tolerations.begin(), tolerations.end(),
        [&taint](const std::string& one) { return one == taint.key || one == ToText(taint); });
    if (!tolerated) return &taint;
  }
  return nullptr;
}

// A tenant on the target that the demand's does not get along with; empty: there is none.
std::string AwayFrom(const Target& target, const Demand& demand) {
  for (const std::string& avoided : demand.spec.avoid_tenants) {
    if (target.held.Of(avoided) != nullptr) return avoided;
  }
  if (!target.held.has_wishes()) return "";
  for (const auto& [name, share] : target.held.shares()) {
    if (name != demand.tenant.name && share.avoided.count(demand.tenant.name) > 0) return name;
  }
  return "";
}

// A tenant that keeps the demand's from being alone, or wants to be alone itself.
std::string NotAlone(const Target& target, const Demand& demand) {
  if (demand.spec.exclusive) return target.held.OtherThan(demand.tenant.name);
  if (!target.held.has_wishes()) return "";
  for (const auto& [name, share] : target.held.shares()) {
    if (name != demand.tenant.name && share.exclusive > 0) return name;
  }
  return "";
}

}  // namespace claw::placement
