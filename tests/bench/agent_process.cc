#include "tests/bench/agent_process.h"

#include <fcntl.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "agent/base/file.h"

namespace claw::bench {
namespace fs = std::filesystem;

AgentProcess::AgentProcess(const fs::path& bin, const fs::path& dir, const std::string& config)
    : dir_(dir) {
  fs::create_directories(dir_);
  fs::permissions(dir_, fs::perms(0711));
  const UniqueFd log(
      ::open((dir_ / "log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  ProcessSpec spec;
  spec.argv = {bin / "clawlet", "--state-dir", state_dir(), "--run-dir", dir_ / "run"};
  if (!config.empty()) {
    WriteFileAtomic(dir_ / "clawlet.toml", config).IgnoreError();
    spec.argv.insert(spec.argv.end(), {"--config", dir_ / "clawlet.toml"});
  }
  spec.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
  spec.descriptors = {{log.get(), 1}, {log.get(), 2}};
  auto started = Spawn(spec);
  if (!started.ok()) {
    std::fprintf(stderr, "benchmark: clawlet: %s\n", ToLogString(started.status()).c_str());
    std::exit(1);
  }
  process_ = *std::move(started);
  channel_ = grpc::CreateChannel("unix:" + socket().string(), grpc::InsecureChannelCredentials());
  const auto deadline = std::chrono::system_clock::now() + std::chrono::seconds(60);
  if (!channel_->WaitForConnected(deadline)) {
    std::fprintf(stderr, "benchmark: clawlet does not come up; it says:\n%s\n",
                 ReadFile(dir_ / "log").value_or("").c_str());
    process_.Signal(SIGKILL).IgnoreError();
    process_.Wait().IgnoreError();
    std::exit(1);
  }
}

AgentProcess::~AgentProcess() {
  channel_.reset();
  process_.Signal(SIGTERM).IgnoreError();
  process_.Wait().IgnoreError();
}

}  // namespace claw::bench
