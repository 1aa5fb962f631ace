#include "tools/clawctl/compat_view.h"

#include <absl/strings/str_format.h>

#include <algorithm>

#include "agent/base/bytes.h"
#include "tools/clawctl/error.h"
#include "tools/clawctl/format.h"

namespace claw::ctl {
namespace {

std::string ProbeName(const pb::Probe& probe) {
  if (!probe.name().empty()) return probe.name();
  return probe.command_size() > 0 ? probe.command(0) : "image";
}

bool HasBaseline(const pb::Verdict& verdict) {
  return std::any_of(verdict.probes().begin(), verdict.probes().end(),
                     [](const pb::ProbeResult& result) { return result.has_baseline(); });
}

template <typename RunOf>
Totals Sum(const pb::Verdict& verdict, const RunOf& run_of) {
  Totals totals;
  for (const pb::ProbeResult& result : verdict.probes()) {
    const pb::ProbeRun& run = run_of(result);
    totals.time += ToSpan(run.wall_time());
    totals.memory_bytes = std::max(totals.memory_bytes, run.memory_peak_bytes());
  }
  return totals;
}

std::string MemoryLabel(int64_t bytes) { return bytes > 0 ? FormatBytes(bytes) : "-"; }

// Outcome, time, CPU and memory of one run.
void AddRun(const pb::ProbeRun& run, std::vector<std::string>& cells) {
  if (run.runtime().empty()) {
    cells.resize(cells.size() + 4);
    return;
  }
  cells.push_back(RunLabel(run));
  cells.push_back(FormatSpan(ToSpan(run.wall_time())));
  cells.push_back(FormatSpan(ToSpan(run.cpu_time())));
  cells.push_back(MemoryLabel(run.memory_peak_bytes()));
}

Table ProbeTable(const pb::Verdict& verdict) {
  const bool baseline = HasBaseline(verdict);
  std::vector<Column> columns = {
      {"PROBE"}, {.title = "GVISOR", .state = true}, {"TIME"}, {"CPU"}, {"MEMORY"}};
  if (baseline) {
    for (const char* title : {"RUNC", "TIME", "CPU", "MEMORY", "RATIO"}) {
      columns.push_back({.title = title, .state = std::string_view(title) == "RUNC"});
    }
  }
  columns.push_back({.title = "COMMAND", .wide = true});
  Table table(std::move(columns));
  for (const pb::ProbeResult& result : verdict.probes()) {
    std::vector<std::string> cells = {ProbeName(result.probe())};
    AddRun(result.gvisor(), cells);
    if (baseline) {
      AddRun(result.baseline(), cells);
      cells.push_back(
          RatioLabel({.time = ToSpan(result.gvisor().wall_time()), .memory_bytes = 0},
                     {.time = ToSpan(result.baseline().wall_time()), .memory_bytes = 0}));
    }
    cells.push_back(JoinWords({result.probe().command().begin(), result.probe().command().end()}));
    table.Add(std::move(cells));
  }
  return table;
}

Table CallTable(const pb::Verdict& verdict) {
  Table table({{"CALL"}, {"GVISOR"}, {"ERROR"}, {"MATTERED"}, {"PROBE"}});
  for (const pb::SyscallFinding& finding : verdict.findings()) {
    std::string mattered = "not known";
    if (finding.mattered() == pb::SyscallFinding::YES) mattered = "yes";
    if (finding.mattered() == pb::SyscallFinding::NO) mattered = "no";
    table.Add({finding.name(), EnumLabel(pb::SyscallFinding::Kind_Name(finding.kind()), "KIND_"),
               finding.error(), mattered, finding.probe()});
  }
  return table;
}

// The end of what a failed probe wrote, a line each, none of them able to move the cursor.
std::string FailedOutput(const pb::ProbeResult& result, const pb::ProbeRun& run) {
  if (run.runtime().empty() || run.as_expected() || run.output_tail().empty()) return "";
  std::string text = StrCat("\nLast output of ", EscapeControls(ProbeName(result.probe())),
                            " under ", EscapeControls(run.runtime()), ":\n");
  for (const std::string_view line : Split(run.output_tail(), '\n', true)) {
    text += StrCat("  ", EscapeControls(line), "\n");
  }
  return text;
}

std::string NextStep(const pb::Verdict& verdict) {
  const std::string_view name =
      verdict.reference().empty() ? BareName(verdict.image()) : verdict.reference();
  const std::string image = EscapeControls(name);
  if (verdict.stale()) {
    return StrCat("this node's gVisor is another one now: `clawctl node compat test ", image, "`");
  }
  if (VerdictLabel(verdict) == "degraded") {
    return StrCat("if that is good enough: `clawctl node compat accept ", image, "`");
  }
  if (verdict.result() != pb::COMPAT_RESULT_INCOMPATIBLE) return "";
  return "for an untrusted tenant it runs on a hardened node only; `clawctl node compat override "
         "add --help` has the exception";
}

}  // namespace

int ExitCodeOfVerdict(const pb::Verdict& verdict) {
  const std::string label = VerdictLabel(verdict);
  if (label == "compatible" || label == "accepted") return kExitOk;
  return label == "degraded" ? kExitDegraded : kExitIncompatible;
}

std::string VerdictLabel(const pb::Verdict& verdict) {
  const bool degraded = verdict.result() == pb::COMPAT_RESULT_DEGRADED;
  if (degraded && !verdict.accepted_by().empty()) return "accepted";
  return EnumLabel(pb::CompatResult_Name(verdict.result()), "COMPAT_RESULT_");
}

std::string RunLabel(const pb::ProbeRun& run) {
  if (run.as_expected()) return "ok";
  if (run.oom_killed()) return "out of memory";
  if (run.timed_out()) return "timed out";
  return run.exit_code() != 0 ? StrCat("exit ", run.exit_code()) : "not as expected";
}

std::chrono::microseconds ToSpan(const google::protobuf::Duration& duration) {
  return std::chrono::seconds(duration.seconds()) +
         std::chrono::microseconds(duration.nanos() / 1000);
}

Totals GvisorTotals(const pb::Verdict& verdict) {
  return Sum(verdict,
             [](const pb::ProbeResult& result) -> const pb::ProbeRun& { return result.gvisor(); });
}

Totals BaselineTotals(const pb::Verdict& verdict) {
  return Sum(verdict, [](const pb::ProbeResult& result) -> const pb::ProbeRun& {
    return result.baseline();
  });
}

std::string RatioLabel(const Totals& gvisor, const Totals& baseline) {
  if (gvisor.time.count() <= 0 || baseline.time.count() <= 0) return "";
  return absl::StrFormat("%.1fx", static_cast<double>(gvisor.time.count()) /
                                      static_cast<double>(baseline.time.count()));
}

std::vector<std::string> CallLabels(const pb::Verdict& verdict, const std::string& probe) {
  std::vector<std::string> labels;
  for (const pb::SyscallFinding& finding : verdict.findings()) {
    if (!probe.empty() && finding.probe() != probe) continue;
    std::string label = finding.name();
    if (!finding.error().empty()) label += StrCat(" (", finding.error(), ")");
    if (std::find(labels.begin(), labels.end(), label) == labels.end()) labels.push_back(label);
  }
  return labels;
}

Table VerdictTable(const Context& context, const std::vector<pb::Verdict>& verdicts) {
  Table table({{"IMAGE"},
               {"DIGEST"},
               {.title = "VERDICT", .state = true},
               {.title = "FRESH", .state = true},
               {"PROBES"},
               {"CALLS"},
               {"GVISOR"},
               {.title = "PLATFORM", .wide = true},
               {.title = "ARCH", .wide = true},
               {.title = "TESTED-BY", .wide = true},
               {.title = "ACCEPTED-BY", .wide = true},
               {.title = "SUMMARY", .wide = true},
               {"AGE"}});
  const bool wide = context.format() == Format::kWide;
  for (const pb::Verdict& verdict : verdicts) {
    const std::string digest(BareName(verdict.image()));
    table.Add({verdict.reference(), wide ? digest : ShortId(digest), VerdictLabel(verdict),
               verdict.stale() ? "no" : "yes", StrCat(verdict.probes_size()),
               StrCat(CallLabels(verdict).size()), verdict.runtime_version(), verdict.platform(),
               verdict.architecture(), verdict.tested_by(), verdict.accepted_by(),
               verdict.summary(), context.AgeOf(verdict.has_test_time(), verdict.test_time())});
  }
  return table;
}

std::string DescribeVerdict(const Context& context, const pb::Verdict& verdict, bool wide) {
  Fields fields;
  fields.Add("Verdict", VerdictLabel(verdict));
  fields.Add("Summary", verdict.summary());
  if (verdict.stale()) fields.Add("Stale", "yes, it is of another gVisor than this node's");
  fields.Add("Image", StrCat(verdict.reference(), verdict.reference().empty() ? "" : " ",
                             BareName(verdict.image())));
  fields.Add("gVisor", StrCat(verdict.runtime_version(), ", ", verdict.platform(), ", ",
                              verdict.architecture()));
  fields.Add("Tested", StrCat(context.AgeOf(verdict.has_test_time(), verdict.test_time()),
                              " ago by ", verdict.tested_by()));
  if (!verdict.accepted_by().empty()) fields.Add("Accepted", "by " + verdict.accepted_by());
  if (wide) {
    fields.Add("Ignored",
               JoinWords({verdict.ignored_syscalls().begin(), verdict.ignored_syscalls().end()}));
  }
  const std::string next = NextStep(verdict);
  if (!next.empty()) fields.Add("Next", next);
  std::string text = fields.Render();
  if (verdict.probes_size() > 0) {
    text += "\n" + ProbeTable(verdict).Render(wide, context.UsesColor());
  }
  for (const pb::ProbeResult& result : verdict.probes()) {
    text += FailedOutput(result, result.gvisor()) + FailedOutput(result, result.baseline());
  }
  if (verdict.findings_size() > 0) {
    text += "\nSystem calls that failed because of gVisor:\n" +
            CallTable(verdict).Render(wide, context.UsesColor());
  }
  return text;
}

}  // namespace claw::ctl
