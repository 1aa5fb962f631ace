#include <algorithm>

#include "agent/base/strings.h"
#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/node.h"
#include "agent/lifecycle/vms.h"
#include "agent/policy/network.h"

namespace claw::lifecycle {
namespace {

// "docker.io/library/python" of "docker.io/library/python:3.12@sha256:…".
std::string FamilyOf(const Image& image) {
  if (image.names.empty()) return "";
  std::string name = image.names.front();
  name = name.substr(0, name.find('@'));
  const size_t slash = name.rfind('/');
  const size_t tag = name.find(':', slash == std::string::npos ? 0 : slash);
  return name.substr(0, tag);
}

}  // namespace

SandboxClass Node::ClassOf(const Sandbox& sandbox) const {
  SandboxClass sandboxes{.image_digest = sandbox.image_digest,
                         .image_family = {},
                         .driver = sandbox.driver,
                         .runtime_version = sandbox.runtime_version,
                         .platform = sandbox.platform,
                         .architecture = deps_.host.architecture,
                         .page_size_bytes = deps_.host.page_size_bytes};
  if (const std::string vm = VmOf(sandbox); !vm.empty()) {
    const GuestPlatform platform = vms_->PlatformOf(vm);
    sandboxes.architecture = platform.architecture;
    sandboxes.page_size_bytes = platform.page_size_bytes;
  }
  const auto image = images_.find(sandbox.image_digest);
  if (image != images_.end()) sandboxes.image_family = FamilyOf(image->second);
  return sandboxes;
}

placement::Settings Node::PlacementSettings() const {
  return {.policy = config_.rules,
          .weights = config_.weights,
          .allow_emulated = config_.allow_emulated,
          .overheads = &overheads_,
          .now = deps_.clock.Now()};
}

placement::Demand Node::DemandFor(const Tenant& tenant, const std::vector<Image>& variants,
                                  const SandboxSpec& spec) const {
  placement::Demand demand{.tenant = tenant, .spec = spec};
  demand.network = policy::DecideNetwork(spec.network, tenant);
  for (network::NetworkPlan::Layer& layer : NetworkLayers(tenant, spec.network)) {
    demand.network_policies.push_back(std::move(layer.policy));
  }
  for (const Image& image : variants) {
    placement::ImageChoice& choice = demand.images[image.architecture];
    choice.digest = image.digest;
    choice.family = FamilyOf(image);
    for (const std::string& signer : image.signers) {
      // Of one that has been taken out of the config since, nobody vouches for the key any more.
      const std::vector<std::string>& known = config_.signers;
      if (config_.role == NodeRole::kGuest ||
          std::find(known.begin(), known.end(), signer) != known.end()) {
        choice.signers.push_back(signer);
      }
    }
    if (const auto it = verdicts_.find(image.digest); it != verdicts_.end()) {
      choice.verdicts = it->second;
    }
    if (const auto it = overrides_.find(image.digest); it != overrides_.end()) {
      choice.compat_override = it->second;
    }
  }
  return demand;
}

std::string Node::RuntimeProblem(IsolationClass isolation) const {
  const DriverState* state = DriverOf(isolation);
  if (state == nullptr) return "this node has no driver for it";
  if (state->fingerprint.healthy) return "";
  return StrCat("driver ", state->driver->name(), ": ", state->fingerprint.message);
}

placement::Platform Node::PlatformHere() const {
  placement::Platform platform{.os = deps_.host.os,
                               .architecture = deps_.host.architecture,
                               .page_size_bytes = deps_.host.page_size_bytes,
                               .node_class = config_.node_class};
  // Asked of hardened nodes alone: all checks are made for it.
  if (config_.node_class == NodeClass::kHardened) platform.hardening_problem = HardeningProblem();
  for (const DriverState& state : drivers_) {
    const drivers::Fingerprint& found = state.fingerprint;
    std::string problem = found.message.empty() ? "it does not work" : found.message;
    if (found.healthy) problem.clear();
    platform.runtimes.push_back({.driver = std::string(state.driver->name()),
                                 .isolation = state.driver->isolation(),
                                 .problem = std::move(problem),
                                 .version = found.runtime_version,
                                 .platform = found.platform,
                                 .overhead_prior_bytes = found.overhead_prior_bytes});
  }
  return platform;
}

const placement::Target& Node::Here() const {
  placement::Platform platform = PlatformHere();
  if (here_.platform == nullptr || !(*here_.platform == platform)) {
    here_.platform = std::make_shared<const placement::Platform>(std::move(platform));
  }
  here_.name = kHostTarget;
  here_.everywhere = &everywhere_;
  here_.labels = config_.labels;
  here_.taints = config_.taints;
  here_.cordoned.clear();
  if (state_.cordoned) {
    here_.cordoned =
        state_.cordon_reason.empty() ? StrCat("by ", state_.cordoned_by) : state_.cordon_reason;
  }
  here_.allocatable_bytes = budget::Allocatable(config_.capacity_bytes, config_.reserves);
  here_.other_bytes = SaturatingAdd(CompatBytes(), vms_->ChargedBytes());
  here_.burst = &burst_;
  const auto same = [](const std::string& digest, const auto& image) {
    return digest == image.first;
  };
  if (!std::equal(here_.images.begin(), here_.images.end(), images_.begin(), images_.end(), same)) {
    here_.images.clear();
    for (const auto& [digest, image] : images_) here_.images.insert(digest);
  }
  here_.cpus = deps_.host.cpus;
  here_.cpu_millis = deps_.host.cpus * int64_t{10} * config_.cpu_overcommit_percent;
  here_.pids = room_.found ? std::max<int64_t>(1, room_.found->free_tasks) : 0;
  here_.disk_bytes = room_.found ? room_.found->free_disk_bytes : 0;
  here_.disk_needed_bytes = room_.found ? config_.min_free_disk_bytes : 0;
  here_.network_hold = network_.hold();
  here_.holds.clear();
  for (const Status& hold : {memory_limit_, dial_.AdmitStart(CountActive().sandboxes)}) {
    if (!hold.ok()) here_.holds.push_back(hold);
  }
  here_.driver_holds.clear();
  for (const DriverState& state : drivers_) {
    const std::string driver(state.driver->name());
    std::vector<Status> holds;
    holds.push_back(budget::CheckCaps(config_.caps, CountActive(), driver));
    if (const auto gate = start_gates_.find(driver); gate != start_gates_.end()) {
      holds.push_back(gate->second->CheckRoom());
    }
    std::erase_if(holds, [](const Status& hold) { return hold.ok(); });
    if (!holds.empty()) here_.driver_holds[driver] = std::move(holds);
  }
  return here_;
}

}  // namespace claw::lifecycle
