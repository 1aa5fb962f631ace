#include "agent/policy/isolation.h"

namespace claw::policy {

IsolationDecision DecideIsolation(Trust trust) {
  // Only the one value that says "trusted" leads to the weaker class: whatever else a corrupt
  // record may hold ends in gVisor.
  if (trust == Trust::kTrusted) {
    return {.isolation = IsolationClass::kContainer, .reason = "the tenant is trusted"};
  }
  return {.isolation = IsolationClass::kGvisor, .reason = "the tenant is not trusted"};
}

}  // namespace claw::policy
