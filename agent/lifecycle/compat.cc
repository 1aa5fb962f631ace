#include "agent/lifecycle/compat.h"

#include <set>

#include "agent/base/strings.h"
#include "agent/base/utf8.h"
#include "agent/lifecycle/plan.h"
#include "agent/lifecycle/request_guard.h"
#include "agent/lifecycle/vms.h"
#include "agent/model/json.h"

namespace claw::lifecycle {
namespace {

// Each holds a sandbox of its own, and a start under gVisor keeps a core busy.
constexpr size_t kMaxTests = 2;
// System calls of one probe that are looked into one by one.
constexpr size_t kMaxTrials = 24;

Status NoGvisor(const DriverState* state) {
  const std::string why = state == nullptr ? "there is none" : state->fingerprint.message;
  return MakeError(StatusCode::kFailedPrecondition,
                   StrCat("images are tested under gVisor, which does not run here: ", why),
                   {.reason = "RUNTIME_MISSING",
                    .constraint = "driver/gvisor",
                    .needed = std::string(ToString(IsolationClass::kGvisor))});
}

Status NoBaseline(const DriverState* state) {
  const std::string why = state == nullptr ? "there is none" : state->fingerprint.message;
  return MakeError(StatusCode::kFailedPrecondition,
                   StrCat("a baseline runs in a hardened container, which this node cannot make: ",
                          why, "; test without a baseline"),
                   {.reason = "RUNTIME_MISSING",
                    .constraint = "baseline",
                    .needed = std::string(ToString(IsolationClass::kLegacyHardened))});
}

Status CheckSpec(const CompatTestSpec& spec) {
  if (spec.probes.size() > kMaxProbes) {
    return MakeError(StatusCode::kInvalidArgument,
                     StrCat("probes has ", spec.probes.size(), " entries"),
                     {.reason = "INVALID_ARGUMENT",
                      .constraint = "probes",
                      .needed = StrCat("at most ", kMaxProbes),
                      .available = StrCat(spec.probes.size())});
  }
  for (const CompatProbe& probe : spec.probes) RETURN_IF_ERROR(ValidateProbe(probe));
  if (spec.workload_bytes < kMinWorkloadBytes || spec.workload_bytes > kMaxWorkloadBytes) {
    return MakeError(StatusCode::kInvalidArgument,
                     StrCat("workload_bytes is ", spec.workload_bytes, " bytes"),
                     {.reason = "INVALID_ARGUMENT",
                      .constraint = "workload_bytes",
                      .needed = StrCat(kMinWorkloadBytes, " to ", kMaxWorkloadBytes, " bytes"),
                      .available = StrCat(spec.workload_bytes, " bytes")});
  }
  return absl::OkStatus();
}

// What is to be run, each under a name of its own.
StatusOr<std::vector<CompatProbe>> ProbesOf(const CompatTestSpec& spec, const Image& image) {
  std::vector<CompatProbe> probes = spec.probes;
  if (probes.empty()) {
    CompatProbe& probe = probes.emplace_back();
    const auto label = image.labels.find(kProbeLabel);
    if (label != image.labels.end()) {
      ASSIGN_OR_RETURN(probe.command, ParseProbeLabel(label->second));
      RETURN_IF_ERROR(ValidateProbe(probe));
    }
  }
  std::set<std::string> taken;
  for (CompatProbe& probe : probes) {
    SandboxSpec sandbox;
    sandbox.command = probe.command;
    const std::vector<std::string> argv = ProgramOf(sandbox, image);
    if (argv.empty() || argv[0].empty()) {
      return MakeError(StatusCode::kInvalidArgument,
                       StrCat("image ", spec.image, " names no program; say which with a probe"),
                       {.reason = "NO_COMMAND", .constraint = "probes"});
    }
    if (probe.name.empty()) probe.name = ToUtf8(argv[0], 80);
    const std::string name = probe.name;
    for (int n = 2; !taken.insert(probe.name).second; ++n) probe.name = StrCat(name, " #", n);
  }
  return probes;
}

std::string TestFingerprint(const CompatTestSpec& spec) {
  // The record of a verdict has a form for probes.
  CompatVerdict verdict;
  verdict.reference = spec.image;
  for (const CompatProbe& probe : spec.probes) verdict.probes.push_back({.probe = probe});
  return ContentFingerprint(
      StrCat(ToJson(verdict), " ", spec.baseline ? 1 : 0, " ", spec.workload_bytes));
}

// What people call the image, even if it was tested by its digest, as what was just imported is.
std::string ReferenceOf(const CompatTestSpec& spec, const Image& image) {
  if (spec.image == image.digest && !image.names.empty()) return image.names.front();
  return spec.image;
}

// What ends the whole test, where any other error of a trial only says nothing about its call.
bool EndsTest(const Status& status) {
  return status.code() == StatusCode::kCancelled || status.code() == StatusCode::kUnavailable ||
         status.code() == StatusCode::kResourceExhausted;
}

}  // namespace

StatusOr<std::shared_ptr<Node::CompatTest>> Node::CompatRunner::BeginTest(CompatTestSpec spec,
                                                                          CompatProgress progress) {
  RETURN_IF_ERROR(CheckSpec(spec));
  const auto test = std::make_shared<CompatTest>(node.deps_.strand);
  ASSIGN_OR_RETURN(test->image, node.FindImage(spec.image));
  if (test->image.architecture != node.deps_.host.architecture) {
    return MakeError(StatusCode::kFailedPrecondition,
                     StrCat("image ", spec.image, " is for ", test->image.architecture),
                     {.reason = "ARCHITECTURE_MISMATCH",
                      .constraint = "image.architecture",
                      .needed = test->image.architecture,
                      .available = node.deps_.host.architecture});
  }
  const DriverState* gvisor = node.DriverOf(IsolationClass::kGvisor);
  if (gvisor == nullptr || !gvisor->fingerprint.healthy) return NoGvisor(gvisor);
  test->gvisor = *gvisor;
  if (spec.baseline) {
    if (!node.config_.allow_compat_baseline) {
      return MakeError(StatusCode::kFailedPrecondition,
                       "this node's config forbids baselines; test without one",
                       {.reason = "BASELINE_FORBIDDEN", .constraint = "baseline"});
    }
    // Never the driver of trusted containers: what is tested is not trusted.
    const DriverState* baseline = node.DriverOf(IsolationClass::kLegacyHardened);
    if (baseline == nullptr || !baseline->fingerprint.healthy) return NoBaseline(baseline);
    test->baseline = *baseline;
  }
  ASSIGN_OR_RETURN(spec.probes, ProbesOf(spec, test->image));
  if (node.compat_tests_.size() >= kMaxTests) {
    return MakeError(StatusCode::kResourceExhausted,
                     StrCat(node.compat_tests_.size(), " tests of images are under way already"),
                     {.reason = "TOO_MANY_TESTS",
                      .constraint = "compat tests at a time",
                      .needed = "1",
                      .available = "0",
                      .retry_after = std::chrono::seconds(10)});
  }
  test->spec = std::move(spec);
  test->progress = std::move(progress);
  node.compat_tests_.push_back(test);
  return test;
}

Task<StatusOr<CompatVerdict>> Node::TestImage(Call call, CompatTestSpec spec,
                                              CompatProgress progress) {
  // A caller that goes away ends the test; what a sandbox has begun is cleaned up all the same.
  co_await asio::this_coro::throw_if_cancelled(false);
  const std::string fingerprint = TestFingerprint(spec);
  CO_ASSIGN_OR_RETURN(const auto earlier, co_await BeginRequest(call, "TestImage", fingerprint));
  if (earlier) co_return GetVerdict(ResourceId(earlier->subject));
  const RequestGuard guard([this, id = call.request_id] { FinishRequest(id); });

  CO_ASSIGN_OR_RETURN(const Image image, FindImage(spec.image));
  CompatRunner runner{*this};
  CompatVerdict verdict;
  if (runner.InVm(image)) {
    CO_RETURN_IF_ERROR(CheckSpec(spec));
    CO_ASSIGN_OR_RETURN(spec.probes, ProbesOf(spec, image));
    CO_ASSIGN_OR_RETURN(verdict, co_await vms_->TestImage(spec, image, std::move(progress)));
  } else {
    CO_ASSIGN_OR_RETURN(verdict, co_await runner.TestHere(spec, std::move(progress)));
  }
  verdict.reference = ReferenceOf(spec, image);
  verdict.tested_by = call.actor;
  verdict.tested_at = deps_.clock.Now();

  const std::string subject = StrCat("images/", verdict.image_digest);
  const auto request = MakeRequest(call.request_id, "TestImage", fingerprint, subject);
  std::vector<Event> events;
  events.push_back(MakeEvent("compat.tested", subject, "",
                             StrCat(ToString(verdict.result), ": ", verdict.summary), call.actor));
  auto write = [verdict, request](store::Transaction& txn) -> Status {
    RETURN_IF_ERROR(txn.PutVerdict(verdict));
    return RecordRequest(txn, request);
  };
  CO_RETURN_IF_ERROR(co_await Commit(std::move(write), std::move(events)));
  PutVerdict(verdict);
  RememberRequest(request);
  co_return verdict;
}

// What this machine's processor does not run, a guest's does.
bool Node::CompatRunner::InVm(const Image& image) const {
  if (!node.vms_->enabled()) return false;
  return node.drivers_.empty() || image.architecture != node.deps_.host.architecture;
}

Task<StatusOr<CompatVerdict>> Node::CompatRunner::TestHere(CompatTestSpec spec,
                                                           CompatProgress progress) {
  co_await node.RefreshDrivers();
  co_await node.LimitMemory();
  CO_ASSIGN_OR_RETURN(const std::shared_ptr<CompatTest> test,
                      BeginTest(std::move(spec), std::move(progress)));
  const RequestGuard leave([this, test] { std::erase(node.compat_tests_, test); });
  std::vector<policy::ProbeEvidence> evidence;
  for (const CompatProbe& probe : test->spec.probes) {
    test->position = StrCat("probe ", evidence.size() + 1, " of ", test->spec.probes.size(), " (",
                            probe.name, ")");
    StatusOr<policy::ProbeEvidence> found = co_await TestProbe(test, probe);
    if (!found.ok()) co_return found.status();
    evidence.push_back(*std::move(found));
  }
  CompatVerdict verdict = policy::Judge(evidence);
  verdict.image_digest = test->image.digest;
  verdict.runtime_version = test->gvisor.fingerprint.runtime_version;
  verdict.platform = test->gvisor.fingerprint.platform;
  verdict.architecture = node.deps_.host.architecture;
  co_return verdict;
}

Task<StatusOr<policy::ProbeEvidence>> Node::CompatRunner::TestProbe(
    std::shared_ptr<CompatTest> test, CompatProbe probe) {
  policy::ProbeEvidence evidence;
  evidence.result.probe = probe;
  ProbePlan plan;
  plan.probe = probe;
  // The baseline first: without gVisor a broken probe is found out soonest.
  if (test->baseline.driver != nullptr) {
    test->progress(StrCat(test->position, ": runc"));
    plan.runtime = test->baseline;
    CO_ASSIGN_OR_RETURN(const ProbeOutcome outcome, co_await RunProbe(test, plan));
    CO_RETURN_IF_ERROR(policy::CheckBaseline(probe, outcome.run));
    evidence.result.baseline = outcome.run;
  }
  test->progress(StrCat(test->position, ": gvisor"));
  plan.runtime = test->gvisor;
  CO_ASSIGN_OR_RETURN(const ProbeOutcome outcome, co_await RunProbe(test, plan));
  evidence.result.gvisor = outcome.run;
  // Logging makes a program several times slower, so that its outcome does not count.
  test->progress(StrCat(test->position, ": gvisor, with its system calls logged"));
  plan.trace = true;
  plan.probe.timeout = std::min(4 * probe.timeout, kMaxProbeTimeout);
  CO_ASSIGN_OR_RETURN(const ProbeOutcome traced, co_await RunProbe(test, plan));
  evidence.report = traced.report;
  std::vector<FailedCall> calls = policy::CallsToTry(evidence);
  CO_ASSIGN_OR_RETURN(evidence.trials, co_await TryWithoutCalls(test, probe, std::move(calls)));
  co_return evidence;
}

Task<StatusOr<std::vector<policy::ProbeEvidence::Trial>>> Node::CompatRunner::TryWithoutCalls(
    std::shared_ptr<CompatTest> test, CompatProbe probe, std::vector<FailedCall> calls) {
  std::vector<policy::ProbeEvidence::Trial> trials;
  for (const FailedCall& call : calls) {
    if (trials.size() == kMaxTrials) break;
    test->progress(StrCat(test->position, ": runc without ", call.name));
    ProbePlan plan;
    plan.probe = probe;
    plan.runtime = test->baseline;
    plan.refused_calls.push_back({.name = call.name, .error_number = call.error_number});
    const StatusOr<ProbeOutcome> outcome = co_await RunProbe(test, plan);
    if (outcome.ok()) {
      trials.push_back({.call = call.name, .run = outcome->run});
    } else if (EndsTest(outcome.status())) {
      co_return outcome.status();
    }
  }
  co_return trials;
}

}  // namespace claw::lifecycle
