#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/base/status.h"
#include "tools/clawctl/cli.h"
#include "tools/clawctl/client.h"
#include "tools/clawctl/context.h"
#include "tools/clawctl/network_options.h"

namespace claw::ctl {

// What a command line says of a sandbox, as far as it has been read.
struct SandboxOptions {
  pb::SandboxSpec spec;
  std::vector<std::string> env;
  std::vector<std::string> mounts;
  std::vector<std::string> labels;
  std::vector<std::string> selector;
  std::vector<std::string> tolerations;
  std::vector<std::string> avoided;
  PolicyOptions policy;
  std::vector<std::string> published;
  std::string tenant;
  std::string entrypoint;
};

// Every option that describes a sandbox, and the program behind "--": what one command understands,
// the others that take a sandbox do, too. The command keeps `options`.
void AddSandboxOptions(CLI::App& command, Context& context,
                       const std::shared_ptr<SandboxOptions>& options);

// What is checked before the agent is asked.
StatusOr<pb::SandboxSpec> BuildSpec(const Context& context, const SandboxOptions& options);

}  // namespace claw::ctl
