#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/base/status.h"
#include "tools/clawctl/cli.h"
#include "tools/clawctl/client.h"

namespace claw::ctl {

// What `tenant add` and `tenant set` have in common. A list that is given replaces the old one.
struct TenantOptions {
  std::optional<std::string> trust;
  std::optional<int32_t> sandboxes;
  std::optional<int64_t> workload_bytes;
  std::optional<int64_t> cpu_millis;
  std::vector<std::string> labels;
  std::vector<std::string> allowed_images;
  std::optional<std::string> network_policy;
  // Only of `set`: take them all away.
  bool no_quota = false;
  bool no_labels = false;
  bool no_allowed_images = false;
  bool no_network_policy = false;
};

// `clearing` adds the --no-… flags.
void AddTenantOptions(CLI::App& command, TenantOptions& options, bool clearing);

// Puts what was given into `tenant` and its fields' names into `mask`. Usage errors for values that
// cannot be meant.
Status ApplyTenantOptions(const TenantOptions& options, pb::Tenant& tenant,
                          google::protobuf::FieldMask& mask);

}  // namespace claw::ctl
