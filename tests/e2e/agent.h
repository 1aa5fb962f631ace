#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/subprocess.h"
#include "tests/support/temp_dir.h"

namespace claw::test {

struct CommandResult {
  int exit_code = 0;
  std::string out;
  std::string err;
};

struct AgentSetup {
  std::string config{};               // text of a TOML file
  std::filesystem::path state_dir{};  // empty: beside the run folder
  bool gvisor_works = true;           // what Furnish may count on
};

// A real clawlet with folders of its own, and clawctl to talk to it.
class Agent {
 public:
  explicit Agent(AgentSetup setup = {});
  // Removes all sandboxes, stops the agent, checks that nothing of it is left on the machine.
  ~Agent();

  void Start();  // returns once it is ready
  void Kill9();
  void BeginStop();       // asks it to end
  void StopGracefully();  // does so unless that has been done, and returns once it has ended
  bool running() const { return process_.has_value(); }
  pid_t pid() const { return process_->pid(); }

  // How `clawctl node ARGS…` is started.
  ProcessSpec CtlCommand(const std::vector<std::string>& args) const;
  // clawctl node ARGS…; never fails the test by itself.
  CommandResult Ctl(std::vector<std::string> args, const std::string& input = "",
                    std::chrono::seconds timeout = std::chrono::seconds(60)) const;
  // The same; fails the test unless it exits with 0, and answers with what it printed, trimmed.
  std::string Must(std::vector<std::string> args, const std::string& input = "") const;
  // `inspect -o json` of a sandbox.
  std::string Field(const std::string& sandbox, const std::string& json_pointer) const;

  // A busybox image under the name "busybox", tested under gVisor, and the tenants "house"
  // (trusted) and "guest".
  void Furnish();

  const std::filesystem::path& dir() const { return dir_.path(); }
  std::filesystem::path state_dir() const { return state_dir_; }
  std::string log() const;
  // What is left on the machine of this agent's sandboxes: cgroups, supervisors, folders. Empty
  // when clean.
  std::vector<std::string> Leftovers() const;
  // The cgroup that holds those of the sandboxes, and whether it is there, in any hierarchy.
  std::string OwnCgroup() const;
  bool HasOwnCgroup() const;

 private:
  TempDir dir_;
  std::filesystem::path state_dir_;
  std::string config_;
  bool gvisor_works_;
  std::optional<Process> process_;
  bool stopping_ = false;
};

// Blocks until the process is gone; false after 60 s.
bool AwaitProcessEnd(int64_t pid);

}  // namespace claw::test
