#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/base/status.h"
#include "agent/model/compat.h"
#include "agent/model/isolation.h"
#include "agent/model/tenant.h"

namespace claw::policy {

// What the config says about isolation. Every value but the default is stricter than the default.
struct Rules {
  bool trusted_in_gvisor = false;  // trusted code runs under gVisor, too
  bool accept_degraded = true;     // a degraded image may run once somebody accepted that
  bool allow_overrides = true;
  bool require_signer = false;  // untrusted images need a verified signature
};

// What keeps the runtime of each class from working on this node; empty: it works.
struct RuntimeProblems {
  std::string container = "nobody has looked";
  std::string gvisor = "nobody has looked";
  std::string legacy_hardened = "nobody has looked";

  const std::string& Of(IsolationClass isolation) const;
};

// All that the decision rests on. Defaults are the strictest value.
struct IsolationInput {
  Trust trust = Trust::kUntrusted;
  std::optional<IsolationClass> wanted{};  // what the caller insists on
  std::string image{};                     // as the caller wrote it, for messages
  std::string image_digest{};
  std::vector<std::string> signers{};         // verified ones
  std::vector<std::string> allowed_images{};  // of the tenant; empty: any
  CompatStatus compat = CompatStatus::kUntested;
  std::optional<CompatOverride> compat_override{};  // of this digest
  Time now{};
  RuntimeProblems runtimes{};
  NodeClass node_class = NodeClass::kStandard;
  // Of a hardened node: what keeps it from being one; empty: it passes its own checks.
  std::string hardening_problem = "it has not been checked";
  // Of a hardened node: another tenant that has sandboxes here; empty: none.
  std::string other_tenant{};
  bool has_mounts = true;
};

// Either a class or a denial, never both.
struct Decision {
  std::optional<IsolationClass> isolation{};
  DecisionRecord record{};
  // Of a denial: what a caller can tell it by, and what would have to be otherwise.
  std::string denial{};  // "COMPAT_UNTESTED"
  std::string needed{};
  std::string available{};
};

// Which isolation a workload gets, if any. Pure. agent/policy/README.md lists the rules.
Decision DecideIsolation(const IsolationInput& input, const Rules& rules);

// OK if a class was given; else an error with the decision's reason and detail: PERMISSION_DENIED,
// or FAILED_PRECONDITION where not the policy but a runtime is what is missing (RUNTIME_MISSING).
Status ToStatus(const Decision& decision);

// Whether something that was given `running` may go on after the decision was made anew: the class
// is the same or a stronger one.
bool StillHolds(IsolationClass running, const Decision& decision);

// What is known about an image, from its verdicts of whatever runtime and the runtime that is here.
CompatStatus StatusOf(const std::vector<CompatVerdict>& verdicts, std::string_view runtime_version,
                      std::string_view platform, std::string_view architecture);

}  // namespace claw::policy
