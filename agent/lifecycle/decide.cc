#include <algorithm>

#include "agent/base/strings.h"
#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/node.h"

namespace claw::lifecycle {

policy::Decision Node::Decide(const Tenant& tenant, const Image& image,
                              const SandboxSpec& spec) const {
  policy::IsolationInput input;
  input.trust = tenant.trust;
  input.wanted = spec.isolation;
  input.image = spec.image;
  input.image_digest = image.digest;
  for (const std::string& signer : image.signers) {
    // Of one that has been taken out of the config since, nobody vouches for the key any more.
    const std::vector<std::string>& known = config_.signers;
    if (std::find(known.begin(), known.end(), signer) != known.end()) {
      input.signers.push_back(signer);
    }
  }
  input.allowed_images = tenant.allowed_images;
  input.compat = CompatStatusOf(image.digest);
  input.compat_override = OverrideOf(image.digest);
  input.now = deps_.clock.Now();
  input.runtimes = {.container = RuntimeProblem(IsolationClass::kContainer),
                    .gvisor = RuntimeProblem(IsolationClass::kGvisor),
                    .legacy_hardened = RuntimeProblem(IsolationClass::kLegacyHardened)};
  input.node_class = config_.node_class;
  // Asked of hardened nodes alone: all checks are made for it.
  if (config_.node_class == NodeClass::kHardened) {
    input.hardening_problem = HardeningProblem();
    input.other_tenant = OtherTenant(tenant.name);
  }
  input.has_mounts = !spec.mounts.empty();
  return policy::DecideIsolation(input, config_.rules);
}

std::string Node::RuntimeProblem(IsolationClass isolation) const {
  const DriverState* state = DriverOf(isolation);
  if (state == nullptr) return "this node has no driver for it";
  if (state->fingerprint.healthy) return "";
  return StrCat("driver ", state->driver->name(), ": ", state->fingerprint.message);
}

CompatStatus Node::CompatStatusOf(const std::string& digest) const {
  // Without a gVisor that works nothing is known about how an image would fare under it.
  const DriverState* gvisor = DriverOf(IsolationClass::kGvisor);
  if (gvisor == nullptr || !gvisor->fingerprint.healthy) return CompatStatus::kUntested;
  const auto verdicts = verdicts_.find(digest);
  if (verdicts == verdicts_.end()) return CompatStatus::kUntested;
  return policy::StatusOf(verdicts->second, gvisor->fingerprint.runtime_version,
                          gvisor->fingerprint.platform, deps_.host.architecture);
}

std::optional<CompatOverride> Node::OverrideOf(const std::string& digest) const {
  const auto it = overrides_.find(digest);
  if (it == overrides_.end()) return std::nullopt;
  return it->second;
}

std::string Node::OtherTenant(const std::string& tenant) const {
  for (const auto& [id, entry] : sandboxes_) {
    const Sandbox& record = entry->record;
    if (!record.released && record.spec.tenant != tenant) return record.spec.tenant;
  }
  return "";
}

policy::QuotaUse Node::QuotaUseOf(const std::string& tenant) const {
  policy::QuotaUse use;
  for (const auto& [id, entry] : sandboxes_) {
    const Sandbox& record = entry->record;
    if (record.released || record.spec.tenant != tenant) continue;
    ++use.sandboxes;
    use.workload_bytes = SaturatingAdd(use.workload_bytes, record.spec.workload_bytes);
    use.cpu_millis = SaturatingAdd(use.cpu_millis, record.spec.cpu_millis);
  }
  return use;
}

Status Node::CheckStillAllowed(const Entry& entry) const {
  const Sandbox& record = entry.record;
  const drivers::Driver* driver = DriverFor(record.driver);
  if (driver == nullptr || driver->isolation() != record.isolation) {
    return Internal("driver ", record.driver, " is not one of class ", ToString(record.isolation));
  }
  ASSIGN_OR_RETURN(const Tenant tenant, GetTenant(record.spec.tenant));
  ASSIGN_OR_RETURN(const Image image, FindImage(record.image_digest));
  const policy::Decision now = Decide(tenant, image, record.spec);
  if (!entry.revoked && policy::StillHolds(record.isolation, now)) return absl::OkStatus();
  return MakeError(StatusCode::kPermissionDenied,
                   StrCat("the policy changed its mind while the sandbox was starting in class ",
                          ToString(record.isolation), ": ", now.record.reason),
                   {.reason = "POLICY_CHANGED",
                    .constraint = now.record.rule,
                    .needed = std::string(ToString(record.isolation)),
                    .available = now.isolation ? std::string(ToString(*now.isolation)) : "none"});
}

}  // namespace claw::lifecycle
