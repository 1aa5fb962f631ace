#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent/lifecycle/async.h"
#include "drivers/driver.h"
#include "drivers/network/network.h"

namespace claw::lifecycle {

// The node's side of `network::Networks`: what is in force for whom. On the strand; what blocks
// runs on the pool. It knows nothing of policies by name.
class NetworkKeeper {
 public:
  // `networks` may be null: then nobody is connected.
  NetworkKeeper(network::Networks* networks, BlockingPool& pool,
                const asio::any_io_executor& executor);

  // Why nobody else can be connected now, as far as it is known. It is not asked before somebody
  // wants it: what nobody uses leaves no trace on the host.
  Status hold() const;
  // What is wrong with the network of those who run; empty: nothing.
  const std::string& problem() const { return problem_; }
  void SetProblem(std::string problem) { problem_ = std::move(problem); }

  // Makes what a sandbox has to find when it is made: files for drivers::LaunchSpec::node_files.
  Task<StatusOr<std::vector<Mount>>> Prepare(network::NetworkPlan plan);
  Task<StatusOr<NetworkAttachment>> Attach(network::NetworkPlan plan, int64_t pid);
  Task<Status> Detach(std::string id);
  // Those of them that are attached; all or none.
  Task<Status> Replace(std::vector<network::NetworkPlan> plans);
  // After a restart. Answers with the ids of what was removed, as it belonged to none of these.
  using Attached = std::pair<network::NetworkPlan, NetworkAttachment>;
  Task<StatusOr<std::vector<std::string>>> Recover(std::vector<Attached> attached);
  // Of those that are attached.
  using Counters = std::map<std::string, network::NetworkCounters>;
  Task<StatusOr<Counters>> Count();

  // Brings `totals` up to date. What passed between the last time and a sandbox's end is not in it.
  Task<void> Total();
  // Since the agent began, by tenant.
  const Counters& totals() const { return totals_; }
  int64_t attached() const { return static_cast<int64_t>(in_force_.size()); }
  // 0: not known, as nobody has wanted one.
  int64_t addresses() const { return health_.addresses; }

  // What is in force for this sandbox; null: it is not attached.
  const network::NetworkPlan* InForce(const std::string& id) const;
  std::vector<network::ResolvedName> Names(const std::string& id) const;

 private:
  Task<Status> Look();         // whether all that is needed is there
  Task<Status> EnsureReady();  // that, and that nothing is left of an agent before this one

  network::Networks* const networks_;
  BlockingPool& pool_;
  std::shared_ptr<AsyncMutex> probe_mutex_;   // held while it is looked whether all is there
  std::shared_ptr<AsyncMutex> change_mutex_;  // held while rules are replaced or taken away
  network::NetworkHealth health_{};
  bool looked_ = false;
  bool reconciled_ = false;  // nothing is left of an agent before this one
  Status exhausted_{};       // the last refusal of an address; OK again when one has become free
  std::string problem_;
  std::map<std::string, network::NetworkPlan> in_force_;  // by id
  std::set<std::string> unsure_;  // ids for which a replacement failed: half of it may count
  Counters counted_;              // by id, as of the last time
  Counters totals_;
};

}  // namespace claw::lifecycle
