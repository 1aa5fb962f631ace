#include "agent/model/isolation.h"

#include "agent/model/enum_names.h"

namespace claw {
namespace {

constexpr EnumNames<IsolationClass, 3> kIsolationNames = {{
    {IsolationClass::kContainer, "container"},
    {IsolationClass::kGvisor, "gvisor"},
    {IsolationClass::kLegacyHardened, "legacy-hardened"},
}};

constexpr EnumNames<NodeClass, 2> kNodeClassNames = {{
    {NodeClass::kStandard, "standard"},
    {NodeClass::kHardened, "hardened"},
}};

constexpr EnumNames<CompatStatus, 6> kCompatNames = {{
    {CompatStatus::kUntested, "UNTESTED"},
    {CompatStatus::kStale, "STALE"},
    {CompatStatus::kCompatible, "COMPATIBLE"},
    {CompatStatus::kDegraded, "DEGRADED"},
    {CompatStatus::kAccepted, "ACCEPTED"},
    {CompatStatus::kIncompatible, "INCOMPATIBLE"},
}};

}  // namespace

std::string_view ToString(IsolationClass isolation) { return NameOf(kIsolationNames, isolation); }
std::string_view ToString(NodeClass node_class) { return NameOf(kNodeClassNames, node_class); }
std::string_view ToString(CompatStatus status) { return NameOf(kCompatNames, status); }

StatusOr<IsolationClass> ParseIsolationClass(std::string_view text) {
  return ValueOf(kIsolationNames, "isolation class", text);
}

StatusOr<NodeClass> ParseNodeClass(std::string_view text) {
  return ValueOf(kNodeClassNames, "node class", text);
}

StatusOr<CompatStatus> ParseCompatStatus(std::string_view text) {
  return ValueOf(kCompatNames, "compatibility status", text);
}

}  // namespace claw
