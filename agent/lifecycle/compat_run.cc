#include <algorithm>
#include <csignal>

#include "agent/base/id.h"
#include "agent/base/strings.h"
#include "agent/budget/ledger.h"
#include "agent/lifecycle/compat.h"
#include "agent/lifecycle/plan.h"

namespace claw::lifecycle {
namespace {

// How long a sandbox may take to end once it was killed.
constexpr auto kKillTime = std::chrono::seconds(30);
// A log of system calls may grow faster than a disk is large: it is looked at, and the run ended
// when it is longer than the driver will read.
constexpr int64_t kMaxTraceBytes = 256 * kMiB;
constexpr auto kLookAtTrace = std::chrono::milliseconds(500);
constexpr auto kFirstRetry = std::chrono::milliseconds(200);
constexpr auto kLongestRetry = std::chrono::milliseconds(30'000);

struct Started {
  DriverHandle handle{};
  Time at{};
};

// How a sandbox ended, once that is known.
struct End {
  std::optional<drivers::ExitObservation> seen{};
  bool timed_out = false;
  bool trace_too_long = false;
};

drivers::LaunchSpec MakeProbeLaunch(const CompatProbe& probe, const Image& image,
                                    std::filesystem::path rootfs) {
  SandboxSpec spec;
  spec.command = probe.command;
  spec.env = probe.env;
  drivers::LaunchSpec launch;
  launch.id = RandomHex(kSandboxIdLength);
  launch.image_rootfs = std::move(rootfs);
  launch.argv = ProgramOf(spec, image);
  launch.env = EnvironmentOf(spec, image);
  launch.working_directory = image.working_directory.empty() ? "/" : image.working_directory;
  launch.uid = image.uid;
  launch.gid = image.gid;
  launch.additional_gids = image.additional_gids;
  launch.hostname = "compat";
  // Not the record of a sandbox: one that a crash left behind is removed and never adopted.
  launch.record_json = "compat test\n";
  return launch;
}

// What is left of a run once its program has ended.
StatusOr<CompatRun> Collect(drivers::Driver& driver, const Started& started, const End& end,
                            const CompatProbe& probe) {
  policy::OutputCheck output(probe);
  ASSIGN_OR_RETURN(const std::unique_ptr<drivers::LogReader> log, driver.OpenLog(started.handle));
  while (true) {
    ASSIGN_OR_RETURN(const std::vector<drivers::LogRecord> records, log->Read());
    if (records.empty()) break;
    for (const drivers::LogRecord& record : records) output.Add(record.is_stderr, record.data);
  }
  CompatRun run;
  run.exit_code = end.seen->exit_code.value_or(255);
  run.timed_out = end.timed_out;
  run.oom_killed = end.seen->oom_killed;
  run.output_tail = output.Tail();
  run.wall_micros = std::max<int64_t>(0, ToMicros(end.seen->exited_at) - ToMicros(started.at));
  run.memory_peak_bytes = end.seen->memory_peak_bytes;
  // The cgroup is still there.
  const StatusOr<drivers::Stats> stats = driver.GetStats(started.handle);
  if (stats.ok()) {
    run.cpu_micros = stats->cpu_usage_micros;
    run.memory_peak_bytes = std::max(run.memory_peak_bytes, stats->memory_peak_bytes);
  }
  run.as_expected = policy::IsAsExpected(probe, run, output.Matches());
  return run;
}

}  // namespace

int64_t Node::CompatBytes() const {
  int64_t sum = 0;
  for (const std::shared_ptr<CompatTest>& test : compat_tests_) {
    for (const auto& [id, bytes] : test->charges) sum = SaturatingAdd(sum, bytes);
  }
  return sum;
}

Task<StatusOr<Node::ProbeOutcome>> Node::CompatRunner::RunProbe(std::shared_ptr<CompatTest> test,
                                                                ProbePlan plan) {
  drivers::LaunchSpec launch =
      MakeProbeLaunch(plan.probe, test->image, node.deps_.images.RootfsPath(test->image.digest));
  launch.resources = {.memory = budget::Charge(test->spec.workload_bytes,
                                               plan.runtime.fingerprint.overhead_prior_bytes),
                      .cpu_millis = 0,
                      .pids_max = kDefaultPidsMax};
  launch.trace_syscalls = plan.trace;
  launch.refused_calls = plan.refused_calls;
  // From the check to the charge there is no co_await: nobody can take the room in between.
  CO_RETURN_IF_ERROR(node.Admit(launch.resources.memory));
  const std::string id = launch.id;
  test->charges[id] = launch.resources.memory.cgroup_max_bytes;
  drivers::Driver* driver = plan.runtime.driver;
  StatusOr<ProbeOutcome> outcome = co_await WatchProbe(test, std::move(plan), std::move(launch));
  co_await RemoveProbe(test, driver, id);
  co_return outcome;
}

Task<StatusOr<Node::ProbeOutcome>> Node::CompatRunner::WatchProbe(std::shared_ptr<CompatTest> test,
                                                                  ProbePlan plan,
                                                                  drivers::LaunchSpec launch) {
  drivers::Driver* driver = plan.runtime.driver;
  Clock* clock = &node.deps_.clock;
  auto start = [driver, clock, launch]() -> StatusOr<Started> {
    ASSIGN_OR_RETURN(const drivers::Created created, driver->Create(launch));
    const Time at = clock->Now();
    RETURN_IF_ERROR(driver->Start(created.handle).status());
    return Started{.handle = created.handle, .at = at};
  };
  CO_ASSIGN_OR_RETURN(const Started started, co_await node.deps_.pool.Run(std::move(start)));
  const auto end = std::make_shared<End>();
  const auto on_exit = [test, end, executor = node.deps_.strand](drivers::ExitObservation seen) {
    asio::post(executor, [test, end, seen = std::move(seen)]() mutable {
      end->seen = std::move(seen);
      test->changed.NotifyAll();
    });
  };
  CO_RETURN_IF_ERROR(driver->Wait(started.handle, on_exit));

  auto deadline = std::chrono::steady_clock::now() + plan.probe.timeout;
  bool killed = false;
  while (!end->seen) {
    const bool cancelled = co_await IsCancelled();
    if (cancelled) co_return MakeError(StatusCode::kCancelled, "the caller is gone");
    if (node.draining_) co_return Unavailable("the agent is shutting down");
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    const bool over = left.count() <= 0;
    end->trace_too_long = plan.trace && driver->SyscallLogBytes(launch.id) > kMaxTraceBytes;
    if (over && killed)
      co_return Internal("sandbox ", launch.id, " does not end when it is killed");
    if ((over || end->trace_too_long) && !killed) {
      killed = true;
      end->timed_out = over;
      deadline = std::chrono::steady_clock::now() + kKillTime;
      auto kill = [driver, handle = started.handle] { return driver->Kill(handle, SIGKILL); };
      CO_RETURN_IF_ERROR(co_await node.deps_.pool.Run(std::move(kill)));
      continue;
    }
    asio::steady_timer timer(node.deps_.strand);
    timer.expires_after(plan.trace ? std::min<std::chrono::milliseconds>(left, kLookAtTrace)
                                   : left);
    timer.async_wait([test](boost::system::error_code error) {
      if (!error) test->changed.NotifyAll();
    });
    co_await test->changed.Wait();
  }
  auto collect = [driver, started, end, probe = plan.probe, trace = plan.trace,
                  id = launch.id]() -> StatusOr<ProbeOutcome> {
    ProbeOutcome outcome;
    ASSIGN_OR_RETURN(outcome.run, Collect(*driver, started, *end, probe));
    if (!trace) return outcome;
    ASSIGN_OR_RETURN(outcome.report, driver->ReadSyscalls(id));
    // What would have come had it not been ended is not known.
    outcome.report.cut = outcome.report.cut || end->trace_too_long || end->timed_out;
    return outcome;
  };
  co_return co_await node.deps_.pool.Run(std::move(collect));
}

Task<void> Node::CompatRunner::RemoveProbe(std::shared_ptr<CompatTest> test,
                                           drivers::Driver* driver, std::string id) {
  auto pause = kFirstRetry;
  for (;;) {
    auto work = [driver, id]() -> Status {
      RETURN_IF_ERROR(driver->Destroy(id));
      return driver->Purge(id);
    };
    const Status gone = co_await node.deps_.pool.Run(std::move(work));
    if (gone.ok()) break;
    // What is left is found and removed at the next start.
    if (node.draining_) co_return;
    co_await node.Sleep(pause);
    pause = std::min(pause * 2, kLongestRetry);
  }
  test->charges.erase(id);
}

}  // namespace claw::lifecycle
