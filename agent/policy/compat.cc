#include "agent/policy/compat.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <set>

#include "agent/base/strings.h"
#include "agent/base/utf8.h"

namespace claw::policy {
namespace {

struct CopedCall {
  std::string_view name;
  int error_number;
};

// What the C library tries in every program and does without. The list is short on purpose: each
// entry hides a finding.
constexpr std::array<CopedCall, 2> kCoped = {{
    // glibc 2.35 and later register restartable sequences for each thread; sched_getcpu then asks
    // the kernel instead.
    {"rseq", ENOSYS},
    // glibc 2.34 and later start threads and children with it, and fall back to clone. Container
    // engines refuse it in this way, too.
    {"clone3", ENOSYS},
}};

bool IsCoped(const FailedCall& call) {
  return std::any_of(kCoped.begin(), kCoped.end(), [&](const CopedCall& coped) {
    return coped.name == call.name && coped.error_number == call.error_number;
  });
}

// How a runtime refuses what it will not do. Any other error is about what was asked for: a file
// that is not there, a pointer that leads nowhere.
bool IsRefusal(int error_number) {
  switch (error_number) {
    case EPERM:
    case EACCES:
    case EOPNOTSUPP:
    case ENODEV:
    case EINVAL:
      return true;
    default:
      return false;
  }
}

// Nothing is said of a call that the runtime has in part and that fails without a complaint of the
// runtime's: such errors are Linux's own as often as not, and one log alone cannot tell.
std::optional<SyscallFinding::Kind> KindOf(const FailedCall& call) {
  if (call.reported || call.error_number == ENOSYS) return SyscallFinding::Kind::kLacking;
  if (call.support == FailedCall::Support::kNone && IsRefusal(call.error_number)) {
    return SyscallFinding::Kind::kRefused;
  }
  return std::nullopt;
}

// Of two ways in which one call failed: the one that says more.
bool SaysMore(const FailedCall& a, const FailedCall& b) {
  const bool lacks_a = KindOf(a) == SyscallFinding::Kind::kLacking;
  const bool lacks_b = KindOf(b) == SyscallFinding::Kind::kLacking;
  if (lacks_a != lacks_b) return lacks_a;
  return a.count > b.count;
}

SyscallFinding::Mattered MatteredOf(const ProbeEvidence& evidence, const std::string& call) {
  if (!evidence.result.baseline) return SyscallFinding::Mattered::kUnknown;
  for (const ProbeEvidence::Trial& trial : evidence.trials) {
    if (trial.call != call) continue;
    return SameOutcome(trial.run, *evidence.result.baseline) ? SyscallFinding::Mattered::kNo
                                                             : SyscallFinding::Mattered::kYes;
  }
  return SyscallFinding::Mattered::kUnknown;
}

std::string HowItEnded(const CompatProbe& probe, const CompatRun& run) {
  if (run.timed_out) return StrCat("did not end within ", probe.timeout.count(), " ms");
  if (run.oom_killed) return "ran out of memory; test it with more";
  if (run.exit_code != probe.exit_code) {
    return StrCat("ended with ", run.exit_code, " instead of ", probe.exit_code);
  }
  return "wrote another output than it has to";
}

// With a baseline its exit code is the one that counts, though it is the probe's as well by
// CheckBaseline.
bool EndedAsExpected(const CompatProbeResult& result) {
  return result.gvisor.as_expected &&
         (!result.baseline || SameOutcome(result.gvisor, *result.baseline));
}

// The findings of one probe.
std::vector<SyscallFinding> FindingsOf(const ProbeEvidence& evidence) {
  std::vector<SyscallFinding> findings;
  const auto add = [&](const FailedCall& call, SyscallFinding::Kind kind,
                       SyscallFinding::Mattered mattered) {
    findings.push_back({.name = call.name,
                        .kind = kind,
                        .error_number = call.error_number,
                        .mattered = mattered,
                        .probe = evidence.result.probe.name});
  };
  for (const FailedCall& call : FindSuspects(evidence.report).calls) {
    add(call, *KindOf(call), MatteredOf(evidence, call.name));
  }
  for (const FailedCall& call : CallsToTry(evidence)) {
    if (KindOf(call)) continue;
    // Refused under runc it has to bring about the very end that the probe had under gVisor.
    for (const ProbeEvidence::Trial& trial : evidence.trials) {
      if (trial.call != call.name || !SameOutcome(trial.run, evidence.result.gvisor)) continue;
      add(call, SyscallFinding::Kind::kRefused, SyscallFinding::Mattered::kYes);
    }
  }
  return findings;
}

// "userfaultfd and 2 more".
std::string NameSome(const std::vector<std::string>& names) {
  constexpr size_t kShown = 5;
  if (names.size() <= kShown) return Join(names, ", ");
  const std::vector<std::string> shown(names.begin(), names.begin() + kShown);
  return StrCat(Join(shown, ", "), " and ", names.size() - kShown, " more");
}

std::string FindingsInWords(const std::vector<SyscallFinding>& findings) {
  std::set<std::string> mattered;
  std::set<std::string> all;
  for (const SyscallFinding& finding : findings) {
    all.insert(finding.name);
    if (finding.mattered == SyscallFinding::Mattered::kYes) mattered.insert(finding.name);
  }
  if (all.empty()) return "no system call is known to be missing";
  std::string text =
      StrCat("failing system calls: ", NameSome(std::vector<std::string>(all.begin(), all.end())));
  if (!mattered.empty()) {
    text += StrCat("; it depends on ",
                   NameSome(std::vector<std::string>(mattered.begin(), mattered.end())));
  }
  return text;
}

}  // namespace

void OutputCheck::Add(bool is_stderr, std::string_view piece) {
  tail_ += piece;
  // Cut now and then, not each time.
  if (tail_.size() > 4 * kOutputTailBytes) tail_.erase(0, tail_.size() - 2 * kOutputTailBytes);
  if (is_stderr) return;
  if (probe_.output && start_.size() <= probe_.output->size()) {
    start_ += piece.substr(0, probe_.output->size() + 1 - start_.size());
  }
  if (probe_.output_contains && !found_) {
    remembered_ += piece;
    found_ = remembered_.find(*probe_.output_contains) != std::string::npos;
    const size_t keep = std::max<size_t>(probe_.output_contains->size(), 1) - 1;
    if (remembered_.size() > keep) remembered_.erase(0, remembered_.size() - keep);
  }
}

bool OutputCheck::Matches() const {
  if (probe_.output) return start_ == *probe_.output;
  if (probe_.output_contains) return found_ || probe_.output_contains->empty();
  return true;
}

std::string OutputCheck::Tail() const {
  const size_t skip = tail_.size() > kOutputTailBytes ? tail_.size() - kOutputTailBytes : 0;
  return ToUtf8(std::string_view(tail_).substr(skip), kOutputTailBytes);
}

bool IsAsExpected(const CompatProbe& probe, const CompatRun& run, bool output_matches) {
  return !run.timed_out && !run.oom_killed && run.exit_code == probe.exit_code && output_matches;
}

bool SameOutcome(const CompatRun& a, const CompatRun& b) {
  return a.exit_code == b.exit_code && a.timed_out == b.timed_out && a.oom_killed == b.oom_killed &&
         a.as_expected == b.as_expected;
}

Status CheckBaseline(const CompatProbe& probe, const CompatRun& baseline) {
  if (baseline.as_expected) return absl::OkStatus();
  constexpr size_t kShownBytes = 300;
  std::string needed = StrCat("exit code ", probe.exit_code);
  std::string available = StrCat("exit code ", baseline.exit_code);
  if (probe.output) needed += StrCat(", output: ", ToUtf8(*probe.output, kShownBytes));
  if (probe.output_contains) {
    needed += StrCat(", output with: ", ToUtf8(*probe.output_contains, kShownBytes));
  }
  if (!baseline.output_tail.empty()) {
    const std::string& tail = baseline.output_tail;
    const size_t skip = tail.size() - std::min(tail.size(), kShownBytes);
    available += StrCat(", output: ", ToUtf8(tail.substr(skip), kShownBytes));
  }
  return MakeError(StatusCode::kFailedPrecondition,
                   StrCat("probe '", probe.name,
                          "' fails without gVisor, too, so it says nothing: "
                          "it ",
                          HowItEnded(probe, baseline)),
                   {.reason = "PROBE_BROKEN",
                    .constraint = StrCat("probe/", probe.name),
                    .needed = needed,
                    .available = available});
}

Suspects FindSuspects(const SyscallReport& report) {
  Suspects found;
  std::set<std::string> ignored;
  for (const FailedCall& call : report.calls) {
    if (!KindOf(call)) continue;
    if (IsCoped(call)) {
      ignored.insert(call.name);
      continue;
    }
    const auto same =
        std::find_if(found.calls.begin(), found.calls.end(),
                     [&](const FailedCall& other) { return other.name == call.name; });
    if (same == found.calls.end()) {
      found.calls.push_back(call);
    } else if (SaysMore(call, *same)) {
      *same = call;
    }
  }
  found.ignored.assign(ignored.begin(), ignored.end());
  return found;
}

std::vector<FailedCall> CallsToTry(const ProbeEvidence& evidence) {
  if (!evidence.result.baseline) return {};
  std::vector<FailedCall> calls = FindSuspects(evidence.report).calls;
  if (EndedAsExpected(evidence.result)) return calls;
  for (const FailedCall& call : evidence.report.calls) {
    const bool known = std::any_of(calls.begin(), calls.end(), [&](const FailedCall& other) {
      return other.name == call.name;
    });
    if (known || KindOf(call) || !call.never_worked || !IsRefusal(call.error_number)) continue;
    calls.push_back(call);
  }
  return calls;
}

CompatVerdict Judge(const std::vector<ProbeEvidence>& evidence) {
  CompatVerdict verdict;
  std::set<std::string> ignored;
  std::string failure;  // of the first probe that ended otherwise than it has to
  size_t failed = 0;
  bool cut = false;
  bool without_baseline = false;
  for (const ProbeEvidence& probe : evidence) {
    const Suspects suspects = FindSuspects(probe.report);
    ignored.insert(suspects.ignored.begin(), suspects.ignored.end());
    for (SyscallFinding& finding : FindingsOf(probe)) {
      verdict.findings.push_back(std::move(finding));
    }
    cut = cut || probe.report.cut;
    if (!EndedAsExpected(probe.result)) {
      without_baseline = without_baseline || !probe.result.baseline;
      if (++failed == 1) {
        failure = StrCat("probe '", probe.result.probe.name, "' ",
                         HowItEnded(probe.result.probe, probe.result.gvisor));
      }
    }
    verdict.probes.push_back(probe.result);
  }
  verdict.ignored_syscalls.assign(ignored.begin(), ignored.end());
  if (failed > 0 || evidence.empty()) {
    verdict.result = CompatResult::kIncompatible;
    verdict.summary = evidence.empty() ? "nothing was tested" : StrCat(failure, " under gVisor");
    if (failed > 1) verdict.summary += StrCat(" (", failed, " of ", evidence.size(), " probes)");
    if (!evidence.empty()) verdict.summary += StrCat("; ", FindingsInWords(verdict.findings));
    if (without_baseline) verdict.summary += "; whether it works without gVisor was not tested";
  } else if (!verdict.findings.empty()) {
    verdict.result = CompatResult::kDegraded;
    verdict.summary =
        StrCat("every probe ended as it has to under gVisor; ", FindingsInWords(verdict.findings));
  } else {
    verdict.result = CompatResult::kCompatible;
    verdict.summary = "every probe ended as it has to under gVisor, and no system call was missing";
  }
  if (cut) verdict.summary += "; the log of system calls was too long to be read to its end";
  return verdict;
}

}  // namespace claw::policy
