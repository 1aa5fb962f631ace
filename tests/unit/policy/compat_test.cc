#include "agent/policy/compat.h"

#include <rapidcheck.h>

#include <catch2/catch.hpp>
#include <cerrno>

#include "agent/base/strings.h"
#include "agent/base/utf8.h"

namespace claw::policy {
namespace {

using Kind = SyscallFinding::Kind;
using Mattered = SyscallFinding::Mattered;
using Support = FailedCall::Support;

ProbeEvidence Good() {
  ProbeEvidence evidence;
  evidence.result.probe.name = "p";
  evidence.result.gvisor.as_expected = true;
  return evidence;
}

FailedCall Lacking(const std::string& name) {
  return {.name = name, .error_number = ENOSYS, .count = 1, .support = Support::kNone};
}

TEST_CASE("all as it has to be and nothing missing is compatible") {
  ProbeEvidence evidence = Good();
  evidence.report.calls = {
      Lacking("clone3"),
      {.name = "openat", .error_number = ENOENT, .count = 9, .support = Support::kFull},
      {.name = "prctl", .error_number = EINVAL, .count = 1, .support = Support::kPartial},
      {.name = "rseq",
       .error_number = ENOSYS,
       .count = 3,
       .support = Support::kPartial,
       .reported = true}};
  const CompatVerdict verdict = Judge({evidence});
  CHECK(verdict.result == CompatResult::kCompatible);
  CHECK(verdict.findings.empty());
  CHECK(verdict.ignored_syscalls == std::vector<std::string>{"clone3", "rseq"});
}

TEST_CASE("calls that failed on the way make it degraded, and are named") {
  ProbeEvidence evidence = Good();
  evidence.report.calls = {
      {.name = "bpf", .error_number = EPERM, .count = 1},
      Lacking("pidfd_open"),
      {.name = "perf_event_open", .error_number = ENODEV, .count = 1, .reported = true}};
  const CompatVerdict verdict = Judge({evidence});
  CHECK(verdict.result == CompatResult::kDegraded);
  REQUIRE(verdict.findings.size() == 3);
  CHECK(verdict.findings[0].kind == Kind::kRefused);
  CHECK(verdict.findings[1].kind == Kind::kLacking);
  CHECK(verdict.findings[2].kind == Kind::kLacking);
  CHECK(verdict.findings[2].error_number == ENODEV);
  CHECK(verdict.findings[0].mattered == Mattered::kUnknown);
  CHECK(verdict.findings[0].probe == "p");
  CHECK(verdict.summary.find("pidfd_open") != std::string::npos);
}

TEST_CASE("a call is named once, by what says most about it") {
  SyscallReport report;
  report.calls = {{.name = "kcmp", .error_number = EPERM, .count = 50},
                  {.name = "kcmp", .error_number = ENOSYS, .count = 1},
                  {.name = "kcmp", .error_number = EFAULT, .count = 90}};
  const Suspects suspects = FindSuspects(report);
  REQUIRE(suspects.calls.size() == 1);
  CHECK(suspects.calls[0].error_number == ENOSYS);
}

TEST_CASE("a probe that ends otherwise is incompatible, and trials say what mattered") {
  ProbeEvidence evidence = Good();
  evidence.result.gvisor = {.exit_code = 1};
  evidence.report.calls = {Lacking("copy_file_range"), Lacking("futex_waitv"),
                           Lacking("pidfd_open")};
  CHECK(CallsToTry(evidence).empty());
  CHECK(Judge({evidence}).findings[0].mattered == Mattered::kUnknown);
  CHECK(Judge({evidence}).summary.find("without gVisor was not tested") != std::string::npos);

  evidence.result.baseline = CompatRun{.exit_code = 0, .as_expected = true};
  CHECK(CallsToTry(evidence) == evidence.report.calls);
  evidence.trials = {{.call = "copy_file_range", .run = {.exit_code = 0, .as_expected = true}},
                     {.call = "pidfd_open", .run = {.exit_code = 1}}};
  const CompatVerdict verdict = Judge({evidence});
  CHECK(verdict.result == CompatResult::kIncompatible);
  REQUIRE(verdict.findings.size() == 3);
  CHECK(verdict.findings[0].mattered == Mattered::kNo);
  CHECK(verdict.findings[1].mattered == Mattered::kUnknown);  // could not be tried
  CHECK(verdict.findings[2].mattered == Mattered::kYes);
  CHECK(verdict.summary.find("it depends on pidfd_open") != std::string::npos);
}

TEST_CASE("a call that gVisor has and refuses is named if refusing it brings the same end") {
  ProbeEvidence evidence = Good();
  evidence.result.gvisor = {.exit_code = 2};
  evidence.result.baseline = CompatRun{.exit_code = 0, .as_expected = true};
  const FailedCall statx{.name = "statx",
                         .error_number = EINVAL,
                         .count = 2,
                         .support = Support::kFull,
                         .never_worked = true};
  FailedCall file_missing = statx;  // not how anybody is refused something
  file_missing.name = "openat";
  file_missing.error_number = ENOENT;
  FailedCall worked = statx;  // with other arguments it was done
  worked.name = "readlink";
  worked.never_worked = false;
  FailedCall prctl = statx;
  prctl.name = "prctl";
  evidence.report.calls = {file_missing, prctl, worked, statx};
  CHECK(CallsToTry(evidence) == std::vector<FailedCall>{prctl, statx});
  CHECK(Judge({evidence}).findings.empty());  // untried

  // The kernel refuses prctl in the same way, so that nothing changes without it.
  evidence.trials = {{.call = "prctl", .run = {.exit_code = 0, .as_expected = true}},
                     {.call = "statx", .run = {.exit_code = 2}}};
  CompatVerdict verdict = Judge({evidence});
  REQUIRE(verdict.findings.size() == 1);
  CHECK(verdict.findings[0].name == "statx");
  CHECK(verdict.findings[0].kind == Kind::kRefused);
  CHECK(verdict.findings[0].mattered == Mattered::kYes);
  CHECK(verdict.summary.find("it depends on statx") != std::string::npos);

  evidence.trials[1].run.exit_code = 139;  // another end than under gVisor
  CHECK(Judge({evidence}).findings.empty());

  // What ended as it has to gives no reason to doubt.
  evidence.result.gvisor = *evidence.result.baseline;
  evidence.trials[1].run.exit_code = 2;
  CHECK(CallsToTry(evidence).empty());
  CHECK(Judge({evidence}).result == CompatResult::kCompatible);
}

TEST_CASE("a probe that fails without gVisor, too, says nothing") {
  const CompatProbe probe{.name = "p"};
  CHECK(CheckBaseline(probe, {.exit_code = 0, .as_expected = true}).ok());
  const Status broken = CheckBaseline(probe, {.exit_code = 3});
  CHECK(broken.code() == StatusCode::kFailedPrecondition);
  CHECK(GetErrorDetail(broken)->reason == "PROBE_BROKEN");
  // Whoever wrote the probe is told what it had to say and what it said.
  const Status wrong = CheckBaseline({.name = "p", .output = "42\n"},
                                     {.output_tail = std::string(5000, 'x') + "41\n"});
  CHECK(GetErrorDetail(wrong)->needed == "exit code 0, output: 42\n");
  CHECK(GetErrorDetail(wrong)->available ==
        "exit code 0, output: " + std::string(297, 'x') + "41\n");
}

TEST_CASE("output is compared to the byte or searched, on standard output alone") {
  CompatProbe exact{.output = "hello\n"};
  OutputCheck a(exact);
  a.Add(false, "hel");
  a.Add(true, "warning\n");
  a.Add(false, "lo\n");
  CHECK(a.Matches());
  a.Add(false, "x");
  CHECK_FALSE(a.Matches());
  CHECK(a.Tail() == "helwarning\nlo\nx");

  CompatProbe search{.output_contains = "needle"};
  OutputCheck b(search);
  b.Add(true, "needle");
  CHECK_FALSE(b.Matches());
  for (const char c : std::string_view("haystack with a needle in it")) b.Add(false, {&c, 1});
  CHECK(b.Matches());

  OutputCheck nothing(exact);
  CHECK_FALSE(nothing.Matches());
}

TEST_CASE("the tail is the end, in UTF-8, whatever was written") {
  CHECK(rc::check([](const std::vector<std::string>& pieces) {
    const CompatProbe probe;
    OutputCheck check(probe);
    std::string all;
    for (const std::string& piece : pieces) {
      check.Add(false, piece);
      all += piece;
    }
    const std::string tail = check.Tail();
    RC_ASSERT(IsUtf8(tail));
    RC_ASSERT(tail.size() <= kOutputTailBytes);
    if (IsUtf8(all) && all.size() <= kOutputTailBytes) RC_ASSERT(tail == all);
  }));
}

TEST_CASE("a verdict is compatible only if nothing speaks against it") {
  CHECK(rc::check([](const std::vector<std::tuple<bool, bool, int>>& probes) {
    std::vector<ProbeEvidence> evidence;
    bool all_good = !probes.empty();
    bool any_finding = false;
    for (const auto& [good, baseline, number] : probes) {
      ProbeEvidence& probe = evidence.emplace_back(Good());
      probe.result.gvisor.as_expected = good;
      if (baseline) probe.result.baseline = CompatRun{.as_expected = true};
      FailedCall call{
          .name = number % 2 == 0 ? "rseq" : "kcmp",
          .error_number = *rc::gen::element(ENOSYS, EPERM, ENOENT),
          .count = 1,
          .support = *rc::gen::element(Support::kFull, Support::kPartial, Support::kNone),
          .reported = *rc::gen::arbitrary<bool>()};
      probe.report.calls = {call};
      all_good = all_good && good;
      any_finding = any_finding || !FindSuspects(probe.report).calls.empty();
    }
    const CompatVerdict verdict = Judge(evidence);
    RC_ASSERT((verdict.result == CompatResult::kIncompatible) == !all_good);
    RC_ASSERT((verdict.result == CompatResult::kCompatible) == (all_good && !any_finding));
    RC_ASSERT(verdict.findings.empty() == !any_finding);
    RC_ASSERT(verdict.probes.size() == probes.size());
    RC_ASSERT(!verdict.summary.empty());
  }));
}

}  // namespace
}  // namespace claw::policy
