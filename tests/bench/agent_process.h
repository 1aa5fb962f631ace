#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "agent/base/subprocess.h"

namespace grpc {
class Channel;
}

namespace claw::bench {

// A clawlet of our own with folders of its own. Ends the benchmark if it does not come up.
class AgentProcess {
 public:
  // `config` is the text of a TOML file; empty: none.
  AgentProcess(const std::filesystem::path& bin, const std::filesystem::path& dir,
               const std::string& config = {});
  ~AgentProcess();
  AgentProcess(const AgentProcess&) = delete;
  AgentProcess& operator=(const AgentProcess&) = delete;

  pid_t pid() const { return process_.pid(); }
  std::filesystem::path socket() const { return dir_ / "run/clawlet.sock"; }
  std::filesystem::path state_dir() const { return dir_ / "state"; }
  std::shared_ptr<grpc::Channel> channel() const { return channel_; }  // it is connected

 private:
  std::filesystem::path dir_;
  Process process_;
  std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace claw::bench
