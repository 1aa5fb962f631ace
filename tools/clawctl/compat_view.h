#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "tools/clawctl/context.h"
#include "tools/clawctl/output.h"

namespace claw::ctl {

// What the shell gets for a verdict: 0 for an image that may run, so that a script can gate on it.
enum CompatExitCode : int { kExitDegraded = 10, kExitIncompatible = 11 };
int ExitCodeOfVerdict(const pb::Verdict& verdict);

// "compatible", "degraded", "accepted" (degraded, and accepted) or "incompatible".
std::string VerdictLabel(const pb::Verdict& verdict);

// "ok", or in what the run differs from what the probe has to do: "exit 1", "timed out", …
std::string RunLabel(const pb::ProbeRun& run);

// Of all probes together: wall time, and the highest memory. Zero if nothing ran there.
struct Totals {
  std::chrono::microseconds time{0};
  int64_t memory_bytes = 0;
};
Totals GvisorTotals(const pb::Verdict& verdict);
Totals BaselineTotals(const pb::Verdict& verdict);

// "1.8x"; empty if one of them is not known.
std::string RatioLabel(const Totals& gvisor, const Totals& baseline);

std::chrono::microseconds ToSpan(const google::protobuf::Duration& duration);

// The calls of a verdict or, with a name, of one probe, without repetition: "userfaultfd (ENOSYS)".
std::vector<std::string> CallLabels(const pb::Verdict& verdict, const std::string& probe = "");

Table VerdictTable(const Context& context, const std::vector<pb::Verdict>& verdicts);

// Everything about one verdict: the outcome of each probe under gVisor and runc side by side, the
// end of the output of those that failed, the calls, and what to do next.
std::string DescribeVerdict(const Context& context, const pb::Verdict& verdict, bool wide);

}  // namespace claw::ctl
