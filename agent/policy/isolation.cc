#include "agent/policy/isolation.h"

#include <algorithm>

#include "agent/base/strings.h"

namespace claw::policy {
namespace {

constexpr char kRuntimeMissing[] = "RUNTIME_MISSING";

// A denial in words that a caller can act on.
struct Refusal {
  std::string denial;
  std::string rule;
  std::string reason;
  std::string needed;
  std::string available;
};

class Decider {
 public:
  Decider(const IsolationInput& input, const Rules& rules) : in_(input), rules_(rules) {
    decision_.record = {.isolation = IsolationClass::kGvisor,
                        .trust = trusted() ? Trust::kTrusted : Trust::kUntrusted,
                        .node_class = input.node_class,
                        .compat = input.compat,
                        .signers = input.signers,
                        .decided_at = input.now};
  }

  Decision Decide() {
    if (!IsAllowedImage()) {
      return Refuse({"IMAGE_NOT_ALLOWED", "image-not-allowed",
                     StrCat("the tenant may not run image ", in_.image_digest),
                     Join(in_.allowed_images, ", "), Provenance()});
    }
    const Decision found = in_.node_class == NodeClass::kStandard ? Standard() : Hardened();
    if (!found.isolation) return found;
    const Decision honoured = Honour(found);
    // What cannot run is refused; nothing weaker is looked for.
    if (honoured.isolation && !Runs(*honoured.isolation)) return Missing(*honoured.isolation);
    return honoured;
  }

 private:
  // Only the one value that says "trusted" is trusted: whatever else a corrupt record may hold is
  // not.
  bool trusted() const { return in_.trust == Trust::kTrusted; }

  bool Runs(IsolationClass isolation) const { return in_.runtimes.Of(isolation).empty(); }

  std::string Provenance() const {
    if (in_.signers.empty()) return StrCat(in_.image_digest, ", not signed");
    return StrCat(in_.image_digest, ", signed by ", Join(in_.signers, ", "));
  }

  bool IsAllowedImage() const {
    if (in_.allowed_images.empty()) return true;
    return std::any_of(
        in_.allowed_images.begin(), in_.allowed_images.end(), [this](const std::string& allowed) {
          if (allowed == in_.image_digest) return true;
          return allowed.starts_with("signer:") &&
                 std::find(in_.signers.begin(), in_.signers.end(), allowed.substr(7)) !=
                     in_.signers.end();
        });
  }

  const CompatOverride* ValidOverride(IsolationClass isolation) const {
    if (!rules_.allow_overrides || !in_.compat_override) return nullptr;
    const CompatOverride& given = *in_.compat_override;
    const bool valid = given.isolation == isolation && !in_.image_digest.empty() &&
                       given.image_digest == in_.image_digest && !given.given_by.empty() &&
                       in_.now >= given.created_at && in_.now < given.expires_at;
    return valid ? &given : nullptr;
  }

  Decision Standard() {
    if (trusted()) {
      if (rules_.trusted_in_gvisor) {
        return Allow(IsolationClass::kGvisor, "trusted-in-gvisor",
                     "the tenant is trusted, and this node's policy runs trusted code in gVisor");
      }
      return Allow(IsolationClass::kContainer, "trusted-container", "the tenant is trusted");
    }
    if (rules_.require_signer && in_.signers.empty()) return Unsigned();
    // Without a gVisor that works nothing is known of the image either: this is to be mended first.
    if (!Runs(IsolationClass::kGvisor)) return Missing(IsolationClass::kGvisor);
    if (const CompatOverride* given = ValidOverride(IsolationClass::kGvisor)) {
      return Overridden(IsolationClass::kGvisor, "untrusted-override", *given);
    }
    switch (in_.compat) {
      case CompatStatus::kCompatible:
        return Allow(IsolationClass::kGvisor, "untrusted-compatible",
                     "the tenant is not trusted, and the image was tested under gVisor");
      case CompatStatus::kAccepted:
        if (!rules_.accept_degraded) break;
        return Allow(IsolationClass::kGvisor, "untrusted-accepted",
                     "the tenant is not trusted, and the image's degraded verdict was accepted");
      case CompatStatus::kDegraded:
      case CompatStatus::kIncompatible:
      case CompatStatus::kUntested:
      case CompatStatus::kStale:
        break;
    }
    return NotCompatible();
  }

  Decision NotCompatible() {
    switch (in_.compat) {
      case CompatStatus::kDegraded:
      case CompatStatus::kAccepted:
        if (!rules_.accept_degraded) {
          return Refuse({"COMPAT_DEGRADED", "untrusted-degraded",
                         "some system calls of the image fail under gVisor, and this node's policy "
                         "takes no degraded image",
                         "COMPATIBLE", "DEGRADED"});
        }
        return Refuse(
            {"COMPAT_DEGRADED", "untrusted-degraded",
             StrCat("some system calls of the image fail under gVisor; see `clawctl node compat "
                    "show ",
                    in_.image, "`, and accept it with `clawctl node compat accept ", in_.image,
                    "`"),
             "COMPATIBLE, or DEGRADED and accepted", "DEGRADED"});
      case CompatStatus::kIncompatible:
        return Refuse({"COMPAT_INCOMPATIBLE", "untrusted-incompatible",
                       StrCat("the image does not work under gVisor, and code that is not trusted "
                              "has no other place on a standard node: run it on a node of class "
                              "hardened; see `clawctl node compat show ",
                              in_.image, "`"),
                       "a node of class hardened", "a node of class standard"});
      case CompatStatus::kStale:
        return Refuse(
            {"COMPAT_STALE", "untrusted-stale",
             StrCat("the image was tested with another gVisor; test it again with ", TestCommand()),
             "a verdict of this node's gVisor", "STALE"});
      case CompatStatus::kUntested:
      case CompatStatus::kCompatible:
        break;
    }
    return Refuse({"COMPAT_UNTESTED", "untrusted-untested",
                   StrCat("the image was never tested under gVisor; test it with ", TestCommand()),
                   "a verdict of this node's gVisor", "UNTESTED"});
  }

  Decision Hardened() {
    if (trusted()) {
      return Refuse({"NODE_HARDENED", "hardened-no-trusted",
                     "this node takes nothing but legacy code that gVisor cannot run; run trusted "
                     "code on a standard node",
                     "a node of class standard", "a node of class hardened"});
    }
    if (rules_.require_signer && in_.signers.empty()) return Unsigned();
    const CompatOverride* given = ValidOverride(IsolationClass::kLegacyHardened);
    if (in_.compat != CompatStatus::kIncompatible && given == nullptr) {
      // Nor can it be tested then.
      if (!Runs(IsolationClass::kGvisor)) return Missing(IsolationClass::kGvisor);
      return Refuse({"NODE_HARDENED", "hardened-not-legacy",
                     StrCat("this node takes nothing but code that was proven incompatible with "
                            "gVisor; the image is ",
                            ToString(in_.compat), ": test it with ", TestCommand(),
                            " or run it on a standard node"),
                     "INCOMPATIBLE", std::string(ToString(in_.compat))});
    }
    if (!in_.hardening_problem.empty()) {
      return Refuse({"NODE_NOT_HARDENED", "hardened-not-proven",
                     StrCat("this node is hardened by its config but not by its checks: ",
                            in_.hardening_problem, "; see `clawctl node doctor`"),
                     "every check passed", in_.hardening_problem});
    }
    if (!in_.other_tenant.empty()) {
      return Refuse({"NODE_TAKEN", "hardened-one-tenant",
                     StrCat("a hardened node serves one tenant at a time, and tenant '",
                            in_.other_tenant, "' has sandboxes here"),
                     "no sandboxes of another tenant", in_.other_tenant});
    }
    if (in_.has_mounts) {
      return Refuse({"MOUNT_NOT_ALLOWED", "hardened-no-mounts",
                     "legacy code gets no folders of the host; put what it needs into its image",
                     "no mounts", "mounts"});
    }
    if (given != nullptr) {
      return Overridden(IsolationClass::kLegacyHardened, "legacy-override", *given);
    }
    return Allow(IsolationClass::kLegacyHardened, "legacy-on-hardened",
                 "the image cannot run under gVisor, and this node is hardened");
  }

  // What the caller insists on can only make the class stronger.
  Decision Honour(const Decision& found) {
    if (!in_.wanted || *in_.wanted == *found.isolation) return found;
    if (*in_.wanted == IsolationClass::kGvisor && *found.isolation == IsolationClass::kContainer) {
      return Allow(IsolationClass::kGvisor, "trusted-asked-for-gvisor",
                   "the tenant is trusted, and gVisor was asked for");
    }
    return Refuse({"ISOLATION_NOT_ALLOWED", "class-not-allowed",
                   StrCat("class ", ToString(*in_.wanted), " was asked for, but the policy gives ",
                          ToString(*found.isolation), ": ", found.record.reason),
                   std::string(ToString(*in_.wanted)), std::string(ToString(*found.isolation))});
  }

  std::string TestCommand() const { return StrCat("`clawctl node compat test ", in_.image, "`"); }

  Decision Unsigned() {
    return Refuse({"SIGNER_REQUIRED", "untrusted-unsigned",
                   "this node's policy wants images of tenants that are not trusted to be signed; "
                   "fetch it with `clawctl node image pull --signer NAME`",
                   "a verified signature", Provenance()});
  }

  Decision Missing(IsolationClass isolation) {
    const std::string& problem = in_.runtimes.Of(isolation);
    return Refuse({kRuntimeMissing, "runtime-missing",
                   StrCat("class ", ToString(isolation), " cannot run here: ", problem),
                   StrCat("a runtime of class ", ToString(isolation)), problem});
  }

  Decision Allow(IsolationClass isolation, std::string rule, std::string reason) {
    Decision decision = decision_;
    decision.isolation = isolation;
    decision.record.isolation = isolation;
    decision.record.rule = std::move(rule);
    decision.record.reason = std::move(reason);
    return decision;
  }

  Decision Overridden(IsolationClass isolation, std::string rule, const CompatOverride& given) {
    Decision decision =
        Allow(isolation, std::move(rule),
              StrCat("an override by ", given.given_by, " for this image: ", given.reason));
    decision.record.override_by = given.given_by;
    decision.record.override_expires_at = given.expires_at;
    return decision;
  }

  Decision Refuse(Refusal refusal) {
    Decision decision = decision_;
    decision.record.rule = std::move(refusal.rule);
    decision.record.reason = std::move(refusal.reason);
    decision.denial = std::move(refusal.denial);
    decision.needed = std::move(refusal.needed);
    decision.available = std::move(refusal.available);
    return decision;
  }

  const IsolationInput& in_;
  const Rules& rules_;
  Decision decision_;
};

}  // namespace

const std::string& RuntimeProblems::Of(IsolationClass isolation) const {
  switch (isolation) {
    case IsolationClass::kContainer:
      return container;
    case IsolationClass::kGvisor:
      return gvisor;
    case IsolationClass::kLegacyHardened:
      break;
  }
  return legacy_hardened;
}

Decision DecideIsolation(const IsolationInput& input, const Rules& rules) {
  return Decider(input, rules).Decide();
}

Status ToStatus(const Decision& decision) {
  if (decision.isolation) return absl::OkStatus();
  const StatusCode code = decision.denial == kRuntimeMissing ? StatusCode::kFailedPrecondition
                                                             : StatusCode::kPermissionDenied;
  return MakeError(code, decision.record.reason,
                   {.reason = decision.denial,
                    .constraint = decision.record.rule,
                    .needed = decision.needed,
                    .available = decision.available});
}

bool StillHolds(IsolationClass running, const Decision& decision) {
  if (!decision.isolation) return false;
  return *decision.isolation == running ||
         (running == IsolationClass::kGvisor && *decision.isolation == IsolationClass::kContainer);
}

CompatStatus StatusOf(const std::vector<CompatVerdict>& verdicts, std::string_view runtime_version,
                      std::string_view platform, std::string_view architecture) {
  CompatStatus status = CompatStatus::kUntested;
  for (const CompatVerdict& verdict : verdicts) {
    if (!IsFresh(verdict, runtime_version, platform, architecture)) {
      if (status == CompatStatus::kUntested) status = CompatStatus::kStale;
      continue;
    }
    switch (verdict.result) {
      case CompatResult::kCompatible:
        return CompatStatus::kCompatible;
      case CompatResult::kDegraded:
        return verdict.accepted_by.empty() ? CompatStatus::kDegraded : CompatStatus::kAccepted;
      case CompatResult::kIncompatible:
        return CompatStatus::kIncompatible;
    }
  }
  return status;
}

}  // namespace claw::policy
