#pragma once

#include <string>

#include "agent/model/sandbox.h"
#include "agent/model/tenant.h"

namespace claw::policy {

struct IsolationDecision {
  IsolationClass isolation = IsolationClass::kGvisor;
  std::string reason{};  // a sentence for a person
};

// Which isolation a tenant's code gets. Pure. Trusted code runs in a container; everything else, an
// unknown trust included, under gVisor.
IsolationDecision DecideIsolation(Trust trust);

}  // namespace claw::policy
