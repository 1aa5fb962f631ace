#pragma once

#include "agent/lifecycle/node.h"

namespace claw::lifecycle {

// A sandbox that passed every check, before anything is done about it.
struct Node::Plan {
  Sandbox record{};  // as it would be reserved; without an id
  drivers::LaunchSpec launch{};
  drivers::Driver* driver = nullptr;
  Tenant tenant{};
};

struct Node::Placed {
  std::shared_ptr<Entry> entry;
  std::shared_ptr<Plan> plan;
};

// Sets what the record says of its driver and runtime, as they were found.
void SetRuntime(const DriverState& state, Sandbox& record);

// What to run, from what the caller and the image say. `command` replaces the image's entry point
// and, with it, its command; `args` replace the image's command.
std::vector<std::string> ProgramOf(const SandboxSpec& spec, const Image& image);

// The image's environment with the caller's on top, and a PATH if neither has one.
std::vector<std::string> EnvironmentOf(const SandboxSpec& spec, const Image& image);

// The text kept beside a sandbox for a node that lost its store, and what is in it.
struct KeptRecord {
  Sandbox sandbox{};
  Tenant tenant{};
};
std::string WriteKeptRecord(const Sandbox& sandbox, const Tenant& tenant);
StatusOr<KeptRecord> ReadKeptRecord(const std::string& text);

}  // namespace claw::lifecycle
