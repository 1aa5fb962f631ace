#pragma once

#include <map>
#include <string>
#include <vector>

#include "agent/placement/demand.h"
#include "agent/placement/target.h"

// What a demand and a target say of each other in words: labels, taints, tenants.
namespace claw::placement {

std::string ToText(const std::map<std::string, std::string>& labels);  // "a=b, c=d", or "none"
std::string ToText(const Taint& taint);                                // "key", "key=value"

bool HasLabels(const Target& target, const std::map<std::string, std::string>& wanted);

// The first taint that is not tolerated; null: all are. A toleration is "key", for whatever value,
// or "key=value".
const Taint* Intolerable(const Target& target, const std::vector<std::string>& tolerations);

// A tenant on the target that the demand's is to be kept apart from; empty: there is none.
std::string AwayFrom(const Target& target, const Demand& demand);

// A tenant that keeps the demand's from being alone, or wants to be alone itself; empty: none.
std::string NotAlone(const Target& target, const Demand& demand);

}  // namespace claw::placement
