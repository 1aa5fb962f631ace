#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/status.h"
#include "agent/model/hardening.h"
#include "agent/model/isolation.h"

namespace claw::policy {

struct DriverFacts {
  std::string name{};
  IsolationClass isolation = IsolationClass::kContainer;
  bool healthy = false;
  std::string message{};  // why not
  std::vector<std::string> capabilities{};
};

// A sandbox that still has something on this node.
struct SandboxFacts {
  std::string id{};
  std::string tenant{};
  IsolationClass isolation = IsolationClass::kContainer;
  bool has_mounts = false;
};

// What runs VMs here, if the config turns them on.
struct VmFacts {
  std::string hypervisor{};          // what it is, for people
  std::string hypervisor_problem{};  // empty: it answers
  std::string image{};
  std::string image_problem{};  // empty: guests can boot it
};

// All that the checks rest on.
struct NodeFacts {
  NodeClass node_class = NodeClass::kStandard;
  StatusOr<MachineFacts> machine = Internal("it has not been checked");
  std::vector<DriverFacts> drivers{};
  std::vector<SandboxFacts> sandboxes{};
  int64_t page_size_bytes = 0;
  std::string store_problem{};   // empty: the store takes writes
  std::optional<VmFacts> vms{};  // absent: they are turned off
};

// What a hardened node has to pass, and what would be good to have. On a standard node the same is
// asked of the machine, and nothing that fails is more than a warning; what sandboxes may be there
// is not asked. Pure.
std::vector<NodeCheck> CheckHardening(const NodeFacts& facts);

// What any node needs (node_checks.cc). Pure.
std::vector<NodeCheck> CheckNode(const NodeFacts& facts);

// Parts of it (mac_checks.cc): what a Mac needs to run VMs, and what any node with VMs does.
std::vector<NodeCheck> CheckMac(const MacFacts& mac, bool hypervisor_answers);
std::vector<NodeCheck> CheckVms(const VmFacts& vms);

// What keeps the node from being hardened, as a sentence; empty: it is hardened by its config and
// by every check.
std::string HardeningProblem(const NodeFacts& facts);

}  // namespace claw::policy
