#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "agent/base/status.h"
#include "tests/bench/agent_process.h"

namespace claw::bench {

// One kind of sandbox: a program that holds some memory and, once it is told to, grows until it
// uses what it was promised.
struct Workload {
  std::string image;   // "python" (holds 60 MiB), "node" or "shell" (idle)
  std::string tenant;  // "house": trusted, in runc; "guest": under gVisor
  int64_t workload_bytes = 0;
};

// A clawlet whose memory for sandboxes is just so much, with images and tenants. Every call ends
// the benchmark if it fails, but for Create.
class DensityNode {
 public:
  DensityNode(const std::filesystem::path& dir, int64_t budget_bytes);
  ~DensityNode();

  // Tells all programs, also those that start later, to use what they were promised, or not to.
  void Trigger(bool on);
  // The sandbox's name, once it runs. What the node refuses is the error.
  StatusOr<std::string> Create(const Workload& workload);
  void Delete(const std::string& name);
  // What each sandbox that runs uses, page cache left out, by name.
  std::map<std::string, int64_t> UsedBytes();
  // By the kernel, for want of memory, or evicted.
  bool WasKilled(const std::string& name);

 private:
  struct Stubs;
  void Import(const std::string& name, const std::filesystem::path& root);

  std::filesystem::path dir_;
  std::unique_ptr<AgentProcess> agent_;
  std::unique_ptr<Stubs> stubs_;
};

}  // namespace claw::bench
