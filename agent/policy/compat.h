#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/status.h"
#include "agent/model/compat.h"
#include "agent/model/syscalls.h"

namespace claw::policy {

// Compares a program's output with what a probe says of it, piece by piece, in bounded memory.
class OutputCheck {
 public:
  explicit OutputCheck(const CompatProbe& probe) : probe_(probe) {}

  void Add(bool is_stderr, std::string_view piece);
  // Whether standard output is as the probe says.
  bool Matches() const;
  // The last kOutputTailBytes of both streams, as UTF-8.
  std::string Tail() const;

 private:
  const CompatProbe& probe_;
  std::string start_;       // of standard output, one byte more than is asked for
  std::string remembered_;  // the end of it, for a text that comes in two pieces
  bool found_ = false;
  std::string tail_;
};

// Whether a run ended as the probe says; `output_matches` is OutputCheck's answer.
bool IsAsExpected(const CompatProbe& probe, const CompatRun& run, bool output_matches);

// Whether two runs of one probe ended in the same way.
bool SameOutcome(const CompatRun& a, const CompatRun& b);

// OK if a probe says something: under the baseline it ends as it has to. FAILED_PRECONDITION,
// reason PROBE_BROKEN.
Status CheckBaseline(const CompatProbe& probe, const CompatRun& baseline);

// The calls of a log that failed because of gVisor, by name, and those of them that do not count
// because every program tries them and does without.
struct Suspects {
  std::vector<FailedCall> calls{};  // one for each name
  std::vector<std::string> ignored{};
};
Suspects FindSuspects(const SyscallReport& report);

// All that was seen of one probe.
struct ProbeEvidence {
  CompatProbeResult result{};
  SyscallReport report{};  // of the run whose calls were logged
  // Runs under the baseline with one call failing as it does under gVisor.
  struct Trial {
    std::string call{};
    CompatRun run{};
  };
  std::vector<Trial> trials{};
};

// The calls that are worth failing in the baseline, one at a time. Besides the suspects, where the
// probe ended otherwise under gVisor: calls that gVisor has but refused each time, as it does with
// flags that it does not know. Only a trial can tell those from calls that Linux refuses as well.
// None without a baseline.
std::vector<FailedCall> CallsToTry(const ProbeEvidence& evidence);

// The verdict's result, summary, probes, findings and ignored calls.
CompatVerdict Judge(const std::vector<ProbeEvidence>& evidence);

}  // namespace claw::policy
