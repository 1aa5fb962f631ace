#pragma once

#include <string>
#include <string_view>

#include "agent/base/clock.h"
#include "agent/base/status.h"

namespace claw {

// How far the operator trusts a tenant's code. What is not known to be trusted is untrusted.
enum class Trust { kUntrusted, kTrusted };

struct Tenant {
  std::string name{};
  Trust trust = Trust::kUntrusted;
  Time created_at{};

  bool operator==(const Tenant&) const = default;
};

std::string_view ToString(Trust trust);        // "untrusted", "trusted"
StatusOr<Trust> ParseTrust(std::string_view);  // INVALID_ARGUMENT for anything else

// A name of a tenant or a sandbox: 1 to 63 of a-z, 0-9 and '-', starting with a letter, ending with
// a letter or digit (a DNS label, as Kubernetes has it). `what` names the field in the error.
Status ValidateName(std::string_view what, std::string_view name);

}  // namespace claw
