#include "tools/clawctl/error.h"

#include <absl/strings/str_format.h>

#include <vector>

#include "claw/node/v1/placement.pb.h"
#include "tools/clawctl/format.h"
#include "tools/clawctl/reasons.h"

namespace claw::ctl {
namespace {

// What the call leaves behind; empty if that is not known.
std::string_view OutcomeText(Outcome outcome) {
  switch (outcome) {
    case Outcome::kRefused:
      return "refused, nothing was done";
    case Outcome::kUndone:
      return "begun, and undone: nothing of it is left";
    case Outcome::kUnknown:
      break;
  }
  return "";
}

// What stands in the way beside `named`, which the error names itself.
std::vector<std::string> OtherProblems(const Status& status, std::string_view named) {
  std::vector<std::string> problems;
  claw::node::v1::Explanation explanation;
  const auto payload = status.GetPayload(kExplanationPayload);
  if (!payload || !explanation.ParseFromString(std::string(*payload))) return problems;
  for (const auto& one : explanation.constraints()) {
    if (one.met() || one.name() == named) continue;
    problems.push_back(StrCat(one.name(), ": ", one.problem()));
  }
  return problems;
}

// What stands in the way of a placement, or has become of it.
std::string HintForPlacement(std::string_view reason) {
  if (reason == "RESERVATION_NOT_FOUND" || reason == "RESERVATION_EXPIRED") {
    return "`clawctl node reservations` shows what is held; `clawctl node reserve` holds a place "
           "anew, --ttl how long";
  }
  if (reason == "COMMITTED") {
    return "it has become a sandbox of the same id, which `clawctl node stop` and `clawctl node "
           "rm` end";
  }
  if (reason == "CORDONED") {
    return "`clawctl node status` shows who cordoned it and why; `clawctl node uncordon` lets it "
           "take work again";
  }
  if (reason == "LABELS_DIFFER" || reason == "NOT_TOLERATED") {
    return "`clawctl node targets -o wide` shows the labels for --node-selector, and the taints "
           "for --toleration";
  }
  return "";
}

std::string HintForNetwork(std::string_view reason) {
  if (reason == "NETWORK_POLICY_NOT_FOUND") {
    return "`clawctl node network policy ls` shows them; `clawctl node network policy set NAME` "
           "makes one";
  }
  if (reason == "NETWORK_POLICY_IN_USE") {
    return "`clawctl node tenant set TENANT --network-policy OTHER` gives a tenant another one, "
           "--no-network-policy none";
  }
  return "";
}

std::string HintForVm(std::string_view reason) {
  if (reason == "VM_NOT_FOUND") return "`clawctl node vm ls` lists them";
  if (reason == "VM_START_FAILED") {
    return "`clawctl node vm console NAME` shows how far the guest came";
  }
  if (reason == "HYPERVISOR_UNREACHABLE") return "is libvirt running, and is vm.uri right?";
  return "";
}

// What the caller should do next; empty if the message says it all.
std::string HintFor(const Status& status, const ErrorDetail& detail, std::string_view socket) {
  const std::string_view reason = detail.reason;
  const std::string_view message = ToStd(status.message());
  const bool missing = status.code() == StatusCode::kNotFound;
  if (reason == kReasonUnreachable) {
    return StrCat(
        "is the agent running? start it with `systemctl start clawlet` or `clawlet "
        "--config FILE`, or name its socket with --socket (now: ",
        socket, ")");
  }
  if (std::string hint = HintForPlacement(reason); !hint.empty()) return hint;
  if (std::string hint = HintForNetwork(reason); !hint.empty()) return hint;
  if (std::string hint = HintForVm(reason); !hint.empty()) return hint;
  if (reason.starts_with("RUNTIME_") || reason.starts_with("DRIVER_")) {
    return "`clawctl node status` shows which runtimes work and why the others do not";
  }
  // The policy's refusals say themselves what would help.
  const bool by_policy = status.code() == StatusCode::kPermissionDenied && !reason.empty() &&
                         reason != "PERMISSION_DENIED";
  if (by_policy) return "";
  if (reason == "PROBE_BROKEN") {
    return "the probe has to pass under runc before it can say anything about gVisor";
  }
  if (reason == "QUOTA_EXCEEDED") {
    return "remove sandboxes of this tenant, or raise its quota with `clawctl node tenant set "
           "NAME`";
  }
  if (reason == "TOO_MANY_TESTS") return "try again when one of them has ended";
  if (missing && Contains(message, "override")) {
    return "`clawctl node compat override ls` shows them";
  }
  if (missing && Contains(message, "verdict")) {
    return "test the image with `clawctl node compat test IMAGE`";
  }
  if (missing && (reason.starts_with("TENANT_") || Contains(message, "tenant"))) {
    return "make the tenant with `clawctl node tenant add NAME [--trust trusted]`";
  }
  if (missing && (reason.starts_with("IMAGE_") || Contains(message, "image"))) {
    return "fetch it with `clawctl node image pull REF` or `clawctl node image import SOURCE`; "
           "`clawctl node image ls` shows what is there";
  }
  if (missing && Contains(message, "sandbox")) {
    return "`clawctl node ps -a` shows every sandbox";
  }
  switch (status.code()) {
    case StatusCode::kResourceExhausted:
      return "`clawctl node status` shows what the node has; make room with `clawctl node stop` "
             "and "
             "`clawctl node rm`, or ask for less";
    case StatusCode::kDeadlineExceeded:
      return "allow it more time with --timeout";
    case StatusCode::kPermissionDenied:
    case StatusCode::kUnauthenticated:
      return "the agent takes orders from root and from the users that its config names";
    case StatusCode::kOutOfRange:
      return "the node cannot go on from that revision; leave --since-revision out";
    case StatusCode::kUnimplemented:
      return "`clawctl node version` shows whether agent and clawctl are of one version";
    default:
      return "";
  }
}

}  // namespace

int ExitCodeOf(const Status& status) {
  const auto detail = GetErrorDetail(status);
  if (detail && detail->reason == kReasonUsage) return kExitUsage;
  switch (status.code()) {
    case StatusCode::kOk:
      return kExitOk;
    case StatusCode::kNotFound:
      return kExitNotFound;
    case StatusCode::kUnavailable:
      return kExitUnreachable;
    case StatusCode::kDeadlineExceeded:
      return kExitDeadline;
    case StatusCode::kResourceExhausted:
      return kExitExhausted;
    case StatusCode::kPermissionDenied:
    case StatusCode::kUnauthenticated:
      return kExitPermission;
    default:
      return kExitFailed;
  }
}

std::string_view ExitCodeHelp() {
  return "Exit codes:\n"
         "  0 done   1 refused or failed   2 wrong command line   3 not found\n"
         "  4 agent not reachable or too busy   5 deadline exceeded   6 no room on the node\n"
         "  7 not allowed\n"
         "  run, exec and wait answer with the program's own code, and with 125 when\n"
         "  clawctl or the agent failed before the program did.\n"
         "  compat test: 10 degraded   11 incompatible   explain: 12 no target fits";
}

Status UsageError(std::string_view message) {
  return MakeError(StatusCode::kInvalidArgument, message, {.reason = std::string(kReasonUsage)});
}

std::string RenderError(const Status& status, std::string_view socket) {
  const ErrorDetail detail = GetErrorDetail(status).value_or(ErrorDetail{});
  std::string_view message = ToStd(status.message());
  const std::string code = absl::StatusCodeToString(status.code());
  if (message.empty()) message = code;
  std::string out = StrCat("clawctl: ", EscapeControls(message), "\n");
  const auto line = [&out](std::string_view name, std::string_view value) {
    if (!value.empty()) absl::StrAppendFormat(&out, "  %-12s%s\n", name, EscapeControls(value));
  };
  if (detail.reason != kReasonUsage) line("reason:", detail.reason);
  line("constraint:", detail.constraint);
  line("needed:", detail.needed);
  line("available:", detail.available);
  if (detail.retry_after) {
    line("retry:", absl::StrFormat("after %d ms", detail.retry_after->count()));
  }
  for (const std::string& problem : OtherProblems(status, detail.constraint)) {
    line("also:", problem);
  }
  line("outcome:", OutcomeText(detail.outcome));
  line("hint:", HintFor(status, detail, socket));
  return out;
}

}  // namespace claw::ctl
