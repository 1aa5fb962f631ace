#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "tests/bench/agent_process.h"

namespace claw::bench {

// A clawlet of our own, spoken to over its API without a command line in between.
class AgentClient {
 public:
  AgentClient(const std::filesystem::path& bin, const std::filesystem::path& dir,
              const std::filesystem::path& root);
  ~AgentClient();

  pid_t pid() const { return agent_.pid(); }
  std::filesystem::path socket() const { return agent_.socket(); }
  std::filesystem::path state_dir() const { return agent_.state_dir(); }

  // Tenant for a runtime: "runc" -> trusted, "runsc" -> untrusted. The calls end the benchmark if
  // they fail.
  std::string CreateSleeper(const std::string& kind);  // the sandbox's name, once it runs
  void Delete(const std::string& name);
  void RunToExit(const std::string& kind);  // create, wait for the end, remove

 private:
  struct Stubs;
  std::string Create(const std::string& kind, const std::string& program, const std::string& arg);

  AgentProcess agent_;
  std::unique_ptr<Stubs> stubs_;
};

// PSS, and what of it is private and dirty, of a process in bytes.
struct MemoryUse {
  int64_t pss_bytes = 0;
  int64_t private_dirty_bytes = 0;
};
MemoryUse MemoryOf(pid_t pid);
// CPU time a process has used, in milliseconds.
double CpuMillis(pid_t pid);

}  // namespace claw::bench
