#include "tests/unit/driver/fake_fixture.h"

#include <csignal>
#include <functional>
#include <map>

#include "agent/base/id.h"

namespace claw::test {
namespace {

using drivers::FakeProcess;
using ProcessPtr = std::shared_ptr<FakeProcess>;
using Behaviour = std::function<void(const ProcessPtr&)>;

Behaviour Says(const std::string& out, const std::string& err, int code) {
  return [=](const ProcessPtr& process) {
    process->Write(out);
    process->WriteError(err);
    process->Exit(code);
  };
}

// Echoes its input; at the end of it writes `last` and exits.
Behaviour Cat(const std::string& last) {
  return [last](const ProcessPtr& process) {
    process->OnInput([process, last](std::string_view data) {
      process->Write(data.empty() ? std::string_view(last) : data);
      if (data.empty()) process->Exit(0);
    });
  };
}

void Sleep(const ProcessPtr&) {}

void SleepReady(const ProcessPtr& process) { process->Write("ready\n"); }

void Trap(const ProcessPtr& process) {
  process->OnSignal([process](int signal) {
    if (signal != SIGTERM) return process->Exit(128 + signal);
    process->Write("term\n");
    process->Exit(3);
  });
  process->Write("ready\n");
}

void IgnoreTerm(const ProcessPtr& process) {
  process->OnSignal([process](int signal) {
    if (signal != SIGTERM) process->Exit(128 + signal);
  });
}

void PrintX(const ProcessPtr& process) {
  process->Write(StrCat("out ", process->Env("X"), "\n"));
  process->WriteError("err\n");
  process->Exit(9);
}

void TestTty(const ProcessPtr& process) {
  if (process->tty()) process->Write("is-a-tty\r\n");
  process->Exit(process->tty() ? 0 : 1);
}

const std::map<std::string, Behaviour>& Scripts() {
  static const std::map<std::string, Behaviour> kScripts = {
      {"echo out; echo err >&2; exit 7", Says("out\n", "err\n", 7)},
      {"echo ran", Says("ran\n", "", 0)},
      {"trap 'echo term; exit 3' TERM; echo ready; while :; do sleep 0.1; done", Trap},
      {"trap '' TERM; exec sleep 100", IgnoreTerm},
      {"exec sleep 100", Sleep},
      {"echo ready; exec sleep 100", SleepReady},
      {"echo bye; exit 5", Says("bye\n", "", 5)},
      {"cat; echo done", Cat("done\n")},
      {"echo out $X; echo err >&2; exit 9", PrintX},
      {"test -t 0 && echo is-a-tty", TestTty},
  };
  return kScripts;
}

}  // namespace

Status RunContractScript(const ProcessPtr& process) {
  const std::vector<std::string>& argv = process->argv();
  if (argv.size() == 1 && argv[0] == "cat") {
    Cat("")(process);
    return absl::OkStatus();
  }
  const auto script = Scripts().find(argv.size() == 3 ? argv[2] : "");
  if (script == Scripts().end()) return drivers::CommandNotFound(argv[0]);
  script->second(process);
  return absl::OkStatus();
}

FakeFixture::FakeFixture(std::shared_ptr<drivers::FakeWorld> world)
    : world_(world ? std::move(world) : std::make_shared<drivers::FakeWorld>()),
      driver_("fake", IsolationClass::kGvisor, world_) {
  world_->SetProgram(RunContractScript);
  driver_.Probe();
}

std::unique_ptr<DriverFixture> FakeFixture::Reopen() {
  return std::make_unique<FakeFixture>(world_);
}

drivers::LaunchSpec FakeFixture::Shell(const std::string& script) {
  drivers::LaunchSpec spec;
  spec.id = RandomHex(kSandboxIdLength);
  spec.argv = {"sh", "-c", script};
  spec.working_directory = "/";
  spec.resources.memory = {
      .workload_bytes = 64 * kMiB, .overhead_bytes = 64 * kMiB, .cgroup_max_bytes = 128 * kMiB};
  spec.resources.pids_max = 64;
  spec.record_json = "{}";
  return spec;
}

}  // namespace claw::test
