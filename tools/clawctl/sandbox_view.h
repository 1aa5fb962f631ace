#pragma once

#include <string>
#include <vector>

#include "tools/clawctl/client.h"
#include "tools/clawctl/context.h"
#include "tools/clawctl/output.h"

namespace claw::ctl {

// Sandboxes as rows: ID NAME TENANT IMAGE CLASS STATE EXIT MEMORY AGE, and more with -o wide.
Table SandboxTable(const Context& context, const std::vector<pb::Sandbox>& sandboxes);

// One sandbox line by line: what runs, in which class and why, with which limits.
std::string DescribeSandbox(const Context& context, const pb::Sandbox& sandbox);

// What of the node's memory it takes: what is set aside for it, and its runtime's share.
int64_t ChargedBytes(const pb::Memory& memory);

// "running", "gvisor", "oom-killed": the enum's value without its prefix.
std::string StateLabel(const pb::Sandbox& sandbox);
std::string ClassLabel(const pb::Sandbox& sandbox);

}  // namespace claw::ctl
