#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/status.h"
#include "agent/model/tenant.h"

namespace claw {

// What keeps the tenant's code away from the host. Nothing ever moves a sandbox to a weaker class.
enum class IsolationClass {
  kContainer,       // a container of the host's kernel: for trusted code
  kGvisor,          // a kernel of its own in user space
  kLegacyHardened,  // untrusted code that gVisor cannot run, in a container stripped of everything,
                    // on a node that takes nothing else
};

// What a node is for. Its config says so; a hardened one has to prove it as well.
enum class NodeClass { kStandard, kHardened };

// What is known about an image under this node's gVisor.
enum class CompatStatus {
  kUntested,
  kStale,       // tested, but with another version or platform of gVisor
  kCompatible,  // ran as it has to
  kDegraded,    // ran as it has to, but some system calls failed
  kAccepted,    // degraded, and somebody accepted that
  kIncompatible,
};

// How a class was found, with all that the policy looked at. Kept with the sandbox.
struct DecisionRecord {
  IsolationClass isolation = IsolationClass::kGvisor;
  std::string rule{};    // stable name: "trusted-container"
  std::string reason{};  // a sentence for a person
  Trust trust = Trust::kUntrusted;
  NodeClass node_class = NodeClass::kStandard;
  CompatStatus compat = CompatStatus::kUntested;
  std::vector<std::string> signers{};
  std::string override_by{};  // who gave the override that was used; empty: none was
  Time override_expires_at{};
  Time decided_at{};

  bool operator==(const DecisionRecord&) const = default;
};

std::string_view ToString(IsolationClass isolation);
std::string_view ToString(NodeClass node_class);
std::string_view ToString(CompatStatus status);
StatusOr<IsolationClass> ParseIsolationClass(std::string_view text);
StatusOr<NodeClass> ParseNodeClass(std::string_view text);
StatusOr<CompatStatus> ParseCompatStatus(std::string_view text);

}  // namespace claw
