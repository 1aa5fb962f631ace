#include "tools/clawctl/junit.h"

#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "tools/clawctl/compat_view.h"
#include "tools/clawctl/error.h"
#include "tools/clawctl/format.h"

namespace claw::ctl {
namespace {

// What XML 1.0 calls a Char.
bool IsXmlChar(char32_t value) {
  return value == '\t' || value == '\n' || value == '\r' || (value >= 0x20 && value < 0xfffe) ||
         value > 0xffff;
}

std::string_view Entity(char32_t value) {
  switch (value) {
    case '&':
      return "&amp;";
    case '<':
      return "&lt;";
    case '>':
      return "&gt;";
    case '"':
      return "&quot;";
    case '\'':
      return "&apos;";
    // As they are, readers would turn them into blanks.
    case '\n':
      return "&#10;";
    case '\r':
      return "&#13;";
    case '\t':
      return "&#9;";
    default:
      return "";
  }
}

std::string Seconds(std::chrono::microseconds span) {
  return absl::StrFormat("%.3f", static_cast<double>(span.count()) / 1e6);
}

struct Case {
  std::string name;
  std::chrono::microseconds time{0};
  // "failure", "error", or empty for a pass.
  std::string kind{};
  std::string type{};
  std::string message{};
  std::string text{};
};

std::string CallSentence(const pb::Verdict& verdict, const std::string& probe) {
  const std::vector<std::string> calls = CallLabels(verdict, probe);
  if (calls.empty()) return "no call that gVisor lacks or refused was seen";
  return "calls that gVisor lacks or refused: " + absl::StrJoin(calls, ", ");
}

Case CaseOf(const pb::Verdict& verdict, const pb::ProbeResult& result) {
  const std::string& name = result.probe().name();
  const pb::ProbeRun& run = result.gvisor();
  Case out{.name = name, .time = ToSpan(run.wall_time())};
  if (out.name.empty() && result.probe().command_size() > 0) out.name = result.probe().command(0);
  if (!run.as_expected()) {
    out.kind = "failure";
    out.type = "incompatible";
    out.message = StrCat("under gVisor: ", RunLabel(run), "; ", CallSentence(verdict, out.name));
  } else if (VerdictLabel(verdict) == "degraded" && !CallLabels(verdict, out.name).empty()) {
    out.kind = "failure";
    out.type = "degraded";
    out.message = CallSentence(verdict, out.name);
  }
  out.text = run.output_tail();
  return out;
}

std::vector<Case> CasesOf(const SuiteOutcome& outcome) {
  std::vector<Case> cases;
  for (const pb::ProbeResult& result : outcome.verdict.probes()) {
    cases.push_back(CaseOf(outcome.verdict, result));
  }
  if (outcome.tested) return cases;
  std::vector<std::string> names = outcome.probes;
  if (names.empty()) names.emplace_back("image");
  for (const std::string& name : names) {
    cases.push_back({.name = name,
                     .kind = "error",
                     .type = "not tested",
                     .message = outcome.error,
                     .text = ""});
  }
  return cases;
}

std::string RenderCase(const std::string& suite, const Case& entry) {
  std::string out = StrCat("    <testcase classname=\"", XmlEscape(suite), "\" name=\"",
                           XmlEscape(entry.name), "\" time=\"", Seconds(entry.time), "\"");
  if (entry.kind.empty() && entry.text.empty()) return out + "/>\n";
  out += ">\n";
  if (!entry.kind.empty()) {
    out += StrCat("      <", entry.kind, " type=\"", XmlEscape(entry.type), "\" message=\"",
                  XmlEscape(entry.message), "\"/>\n");
  }
  if (!entry.text.empty()) {
    out += StrCat("      <system-out>", XmlEscape(entry.text), "</system-out>\n");
  }
  return out + "    </testcase>\n";
}

std::string Property(std::string_view name, std::string_view value) {
  if (value.empty()) return "";
  return StrCat("      <property name=\"", name, "\" value=\"", XmlEscape(value), "\"/>\n");
}

struct Counts {
  int tests = 0;
  int failures = 0;
  int errors = 0;
};

std::string Attributes(const Counts& counts, std::chrono::microseconds time) {
  return absl::StrFormat(" tests=\"%d\" failures=\"%d\" errors=\"%d\" skipped=\"0\" time=\"%s\">\n",
                         counts.tests, counts.failures, counts.errors, Seconds(time));
}

}  // namespace

std::string XmlEscape(std::string_view text) {
  constexpr std::string_view kReplacement = "\xef\xbf\xbd";
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const CodePoint point = DecodeUtf8(text);
    const size_t length = std::max<size_t>(point.length, 1);
    const std::string_view entity = Entity(point.value);
    if (point.length == 0 || !IsXmlChar(point.value)) {
      out += kReplacement;
    } else {
      out += entity.empty() ? text.substr(0, length) : entity;
    }
    text.remove_prefix(length);
  }
  return out;
}

std::string RenderJunit(const std::vector<SuiteOutcome>& outcomes) {
  Counts all;
  std::chrono::microseconds all_time{0};
  std::string suites;
  for (const SuiteOutcome& outcome : outcomes) {
    Counts counts;
    std::string cases;
    for (const Case& entry : CasesOf(outcome)) {
      ++counts.tests;
      if (entry.kind == "failure") ++counts.failures;
      if (entry.kind == "error") ++counts.errors;
      cases += RenderCase(outcome.name, entry);
    }
    const pb::Verdict& verdict = outcome.verdict;
    const std::chrono::microseconds time = GvisorTotals(verdict).time;
    suites +=
        StrCat("  <testsuite name=\"", XmlEscape(outcome.name), "\"", Attributes(counts, time));
    if (outcome.tested) {
      suites += StrCat("    <properties>\n", Property("verdict", VerdictLabel(verdict)),
                       Property("digest", BareName(verdict.image())),
                       Property("gvisor", verdict.runtime_version()),
                       Property("platform", verdict.platform()),
                       Property("architecture", verdict.architecture()), "    </properties>\n");
    }
    suites += cases + "  </testsuite>\n";
    all.tests += counts.tests;
    all.failures += counts.failures;
    all.errors += counts.errors;
    all_time += time;
  }
  return StrCat("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"clawlet compat\"",
                Attributes(all, all_time), suites, "</testsuites>\n");
}

}  // namespace claw::ctl
