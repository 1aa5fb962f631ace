#pragma once

#include <map>
#include <string>

#include "agent/lifecycle/async.h"
#include "agent/lifecycle/node.h"

namespace claw::lifecycle {

// A test of an image that is under way. For as long as it is there its image cannot be removed, and
// what its sandboxes are charged counts as used.
struct Node::CompatTest {
  explicit CompatTest(const asio::any_io_executor& executor) : changed(executor) {}

  CompatTestSpec spec{};
  CompatProgress progress{};
  Image image{};
  std::string position{};  // "probe 1 of 3 (python3)"
  DriverState gvisor{};
  DriverState baseline{};                  // without a driver: none was asked for
  std::map<std::string, int64_t> charges;  // cgroup limits in bytes, by the sandbox's id
  Notifier changed;  // a sandbox has ended, time is up, or the node shuts down
};

// One run of a probe.
struct Node::ProbePlan {
  CompatProbe probe{};
  DriverState runtime{};
  bool trace = false;
  std::vector<RefusedCall> refused_calls{};
};

struct Node::ProbeOutcome {
  CompatRun run{};
  SyscallReport report{};  // of a traced run
};

// What tests images on this machine.
struct Node::CompatRunner {
  Node& node;

  // compat.cc
  bool InVm(const Image& image) const;  // this machine cannot run it, and a guest may
  Task<StatusOr<CompatVerdict>> TestHere(CompatTestSpec spec, CompatProgress progress);
  StatusOr<std::shared_ptr<CompatTest>> BeginTest(CompatTestSpec spec, CompatProgress progress);
  Task<StatusOr<policy::ProbeEvidence>> TestProbe(std::shared_ptr<CompatTest> test,
                                                  CompatProbe probe);
  Task<StatusOr<std::vector<policy::ProbeEvidence::Trial>>> TryWithoutCalls(
      std::shared_ptr<CompatTest> test, CompatProbe probe, std::vector<FailedCall> calls);
  // compat_run.cc: one run of a probe in a sandbox that is gone afterwards.
  Task<StatusOr<ProbeOutcome>> RunProbe(std::shared_ptr<CompatTest> test, ProbePlan plan);
  Task<StatusOr<ProbeOutcome>> WatchProbe(std::shared_ptr<CompatTest> test, ProbePlan plan,
                                          drivers::LaunchSpec launch);
  Task<void> RemoveProbe(std::shared_ptr<CompatTest> test, drivers::Driver* driver, std::string id);
};

}  // namespace claw::lifecycle
