#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/status.h"

namespace claw {

// How far the operator trusts a tenant's code. What is not known to be trusted is untrusted.
enum class Trust { kUntrusted, kTrusted };

// What a tenant may hold on this node at one time; 0: no bound.
struct TenantQuota {
  int64_t sandboxes = 0;       // whose memory is charged
  int64_t workload_bytes = 0;  // sum over them
  int64_t cpu_millis = 0;      // sum over them; then each needs a ceiling of its own

  bool operator==(const TenantQuota&) const = default;
};

struct Tenant {
  std::string name{};
  Trust trust = Trust::kUntrusted;
  TenantQuota quota{};
  std::map<std::string, std::string> labels{};
  // "sha256:…" or "signer:NAME"; empty: any image.
  std::vector<std::string> allowed_images{};
  std::string network_policy{};  // its name; empty: the node's default
  Time created_at{};
  Time updated_at{};  // of the last change

  bool operator==(const Tenant&) const = default;
};

std::string_view ToString(Trust trust);        // "untrusted", "trusted"
StatusOr<Trust> ParseTrust(std::string_view);  // INVALID_ARGUMENT for anything else

// A name of a tenant or a sandbox: 1 to 63 of a-z, 0-9 and '-', starting with a letter, ending with
// a letter or digit (a DNS label, as Kubernetes has it). `what` names the field in the error.
Status ValidateName(std::string_view what, std::string_view name);

// Everything about a tenant that can be checked without a node: names, bounds, forms.
// INVALID_ARGUMENT with the field as the constraint.
Status ValidateTenant(const Tenant& tenant);

}  // namespace claw
