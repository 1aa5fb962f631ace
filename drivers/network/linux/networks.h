#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "drivers/network/attachment_files.h"
#include "drivers/network/linux/cni.h"
#include "drivers/network/linux/denial_log.h"
#include "drivers/network/linux/rule_watch.h"
#include "drivers/network/network.h"
#include "drivers/network/resolver.h"
#include "drivers/network/ruleset.h"
#include "drivers/network/subnets.h"

namespace claw::network {

// Networks with CNI plugins and nftables, in the network namespace of the thread that makes it. One
// file for each verb: attach.cc, detach.cc, reconcile.cc, rules.cc, repair.cc, count.cc, senses.cc.
//
// One lock guards what is known and is held over a transaction of nftables, so that transactions
// come in the order of what they assume. CNI plugins run without it.
class LinuxNetworks : public Networks {
 public:
  LinuxNetworks(NetworkConfig config, NetworkEvents events);
  ~LinuxNetworks() override;

  void Listen(NetworkEvents events) override { events_ = std::move(events); }
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

  // What the senses tell; from their threads.
  void RulesChanged();  // by somebody else, or perhaps so
  void PacketDenied(const LoggedPacket& packet);
  void NameResolved(const ResolvedName& name);

 private:
  using Lock = std::unique_lock<std::mutex>;

  // A sandbox from Prepare, Attach or Adopt to Detach.
  struct Record {
    NetworkPlan plan{};
    NetworkAttachment attachment{};  // empty: not connected yet
    std::string bridge{};            // whose room it takes; empty: none's
  };
  struct Told {
    std::chrono::steady_clock::time_point at{};
    int64_t packets = 0;  // since then
  };

  // attach.cc
  StatusOr<Subnet> TakeRoom(const std::string& id, size_t& next);
  StatusOr<NetworkAttachment> Connect(const NetworkPlan& plan, const UniqueFd& netns);
  StatusOr<NetworkAttachment> TryBridge(const NetworkPlan& plan, const Subnet& subnet,
                                        const std::string& netns);
  Status PutInForce(const NetworkPlan& plan, const NetworkAttachment& attachment);
  Status MapPorts(const std::vector<PortMapping>& ports, const std::string& id,
                  const NetworkAttachment& attachment, const std::string& netns);

  // detach.cc
  Status Disconnect(const AttachmentState& state);
  Status RemoveLeftovers(const std::string& id);

  // reconcile.cc
  bool MayBeUsed(const std::string& bridge, const std::function<bool(const Record&)>& by) const;
  Status RemoveStrays();

  // rules.cc; all with the lock held.
  Status EnsureTables();
  Status Apply(const std::string& change);
  Status Rewrite();
  Status Verify(const std::string& id);
  bool HooksAreThere() const;
  void WriteFiles(const Record& record) const;

  // count.cc; with the lock held.
  StatusOr<Counters> ReadCounters() const;

  // repair.cc: a thread of its own.
  void RepairLoop();
  bool Repair(Lock& lock);
  std::optional<bool> AreRight(Lock& lock);
  Status RemapPorts(const NetworkPlan& plan, const NetworkAttachment& attachment);

  // senses.cc
  Status StartSenses();
  std::set<std::string> NamesWanted() const;
  void WantNames();
  void AwaitNames(const std::set<std::string>& names);

  const NetworkConfig config_;
  NetworkEvents events_;
  const std::vector<Subnet> subnets_;
  const AttachmentFiles files_;
  const Cni cni_;

  mutable std::mutex mutex_;
  Ruleset ruleset_;
  std::map<std::string, Record> records_;
  bool synced_ = false;   // the tables are this object's work, not left by an agent before
  bool alone_ = false;    // no plugin runs that an agent before has started
  bool dirty_ = false;    // the kernel may not have what ruleset_ says
  uint64_t changes_ = 0;  // transactions so far
  Counters last_counters_;
  std::map<std::string, ResolvedName> answers_;
  std::map<std::string, Told> told_;

  std::condition_variable wake_;
  bool look_ = false;  // RulesChanged was called
  bool ending_ = false;
  bool unprotected_ = false;  // on_unprotected was called
  std::thread repairer_;

  // Last, so that they end first.
  std::mutex senses_mutex_;
  std::unique_ptr<RuleWatch> rule_watch_;
  std::unique_ptr<DenialLog> denial_log_;
  std::unique_ptr<Resolver> resolver_;
};

}  // namespace claw::network
