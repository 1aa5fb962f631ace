#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "drivers/network/network.h"

namespace claw::network {

// Networks in memory: no packets, but every promise of the contract about who is attached and under
// which rules. It outlives the agents of a test, as the kernel does.
class FakeNetworks final : public Networks {
 public:
  void Listen(NetworkEvents events) override;
  NetworkHealth Probe() override;
  bool HasTraces() const override;
  StatusOr<NetworkFiles> Prepare(const NetworkPlan& plan) override;
  StatusOr<NetworkAttachment> Attach(const NetworkPlan& plan, int64_t pid) override;
  Status Adopt(const NetworkPlan& plan, const NetworkAttachment& attachment) override;
  StatusOr<std::vector<std::string>> Reconcile() override;
  Status Detach(const std::string& id) override;
  Status Replace(const std::vector<NetworkPlan>& plans) override;
  StatusOr<std::map<std::string, NetworkCounters>> Count() override;
  std::vector<ResolvedName> Names(const std::string& id) const override;

  // For tests. The next calls of this name fail so, until it is OK again: "probe", "prepare",
  // "attach", "detach", "replace", "reconcile".
  void Fail(const std::string& call, Status why);
  void SetAddresses(int64_t addresses);  // how many there are for sandboxes
  // The agent is gone: what it had adopted has to be adopted anew.
  void ForgetAgent();
  std::map<std::string, NetworkPlan> attached() const;  // by id
  NetworkEvents events() const;
  int probes() const;

 private:
  Status Failure(const std::string& call) const;

  mutable std::mutex mutex_;
  NetworkEvents events_;
  std::map<std::string, Status> failures_;
  std::map<std::string, NetworkPlan> attached_;
  std::map<std::string, NetworkPlan> prepared_;
  std::map<std::string, bool> adopted_;  // of those that are attached
  int64_t addresses_ = 4000;
  int64_t next_address_ = 2;
  int probes_ = 0;
};

}  // namespace claw::network
