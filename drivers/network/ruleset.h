#pragma once

// Which rules are to be in force, and the transactions of nftables that bring them there. Pure: it
// makes text, and knows nothing of the kernel.

#include <map>
#include <set>
#include <string>
#include <vector>

#include "drivers/network/frame.h"
#include "drivers/network/network.h"
#include "drivers/network/script.h"

namespace claw::network {

using Counters = std::map<std::string, NetworkCounters>;  // by id

// A set or map, and an element that has to be in it once a sandbox is connected.
struct Wanted {
  std::string family{};
  std::string set{};
  std::vector<std::string> key{};  // as nft writes them; an interface, a MAC or an IP address each
  std::string chain{};             // of a map: where it goes
};

// Sandboxes under the same policies share the rules for them, so that one more sandbox is elements
// in sets alone. What each method answers assumes that all before has been carried out; whoever
// could not do so has Whole() and then Verdicts() carried out instead.
class Ruleset {
 public:
  explicit Ruleset(NetworkConfig config);

  // Everything anew but Verdicts(), whatever the kernel has now: nothing passes. Counters go on
  // from these values.
  std::string Whole(const Counters& counters) const;
  // Lets every sandbox have what its policy allows. A transaction of its own, since the kernel
  // fills sets with intervals one after the other once the new rules are in force already.
  std::string Verdicts() const;
  // A sandbox that is not there yet.
  std::string Add(const NetworkPlan& plan, const NetworkAttachment& attachment);
  // Nothing of that id: nothing to do, an empty text.
  std::string Remove(const std::string& id);
  // Each of them is there. Those that are not are left out.
  std::string Replace(const std::vector<NetworkPlan>& plans);
  // What the rules with a name mean from now on. Empty: no rule has it, or nothing has changed.
  std::string Resolve(const std::string& name, std::vector<IpAddress> addresses);

  bool Has(const std::string& id) const { return members_.count(id) != 0; }
  const NetworkPlan& Plan(const std::string& id) const { return members_.at(id).plan; }
  const NetworkAttachment& Attachment(const std::string& id) const {
    return members_.at(id).attachment;
  }
  std::vector<std::string> Ids() const;
  // The sandbox with this address; empty: none.
  std::string Owner(const std::string& address) const;
  // That all of a sandbox is in force.
  std::vector<Wanted> WantedOf(const std::string& id) const;
  const std::vector<Hook>& hooks() const { return hooks_; }
  // All names that rules have.
  std::set<std::string> Names() const;
  // The addresses that a name stands for in the rules.
  std::vector<IpAddress> Addresses(const std::string& name) const;

 private:
  // Names of sets and chains have numbers in them that are never used twice.
  struct Layer {
    int number = 0;
    int uses = 0;
    NetworkPolicy policy{};  // its rules alone
  };
  struct Profile {
    int number = 0;
    int uses = 0;
    std::string tenant{};
    std::vector<std::string> layers{};  // keys
    int64_t egress_bytes_per_second = 0;
    int64_t ingress_bytes_per_second = 0;
    int64_t connections_max = 0;
    bool dns = false;
  };
  struct Tenant {
    int number = 0;
    int uses = 0;
  };
  struct Member {
    NetworkPlan plan{};
    NetworkAttachment attachment{};
    std::string profile{};  // key
  };

  std::string Set(std::string_view name) const;        // "inet clawlet NAME"
  std::string BridgeSet(std::string_view name) const;  // "bridge clawlet NAME"

  std::string Acquire(const NetworkPlan& plan, Script& script);  // the profile's key
  void Release(const std::string& profile, Script& script);
  void MakeTenant(const Tenant& tenant, Script& script) const;
  void MakeLayer(const Layer& layer, Script& script) const;
  void FillLayer(const Layer& layer, bool egress, Script& script) const;
  void MakeProfile(const Profile& profile, Script& script) const;
  void MakeFrom(const Profile& profile, const Family& family, Script& script) const;
  void MakeTo(const Profile& profile, const Family& family, Script& script) const;
  void MakeEnd(const Profile& profile, const Family& family, bool from, Script& script) const;
  void DropProfile(const Profile& profile, Script& script) const;
  std::vector<std::string> Matches(const Profile& profile, const Family& family, bool egress,
                                   std::string_view peer, std::string_view port) const;
  std::vector<NetworkRule> Resolved(const std::vector<NetworkRule>& rules) const;

  void PutVerdicts(const Member& member, Script& script) const;
  void PutMembership(const Member& member, Script& script) const;
  void TakeVerdicts(const Member& member, Script& script) const;
  void PutRest(const Member& member, const NetworkCounters& counters, Script& script) const;
  void TakeRest(const Member& member, Script& script) const;

  NetworkConfig config_;
  std::vector<Hook> hooks_;
  int next_number_ = 1;
  std::map<std::string, Layer> layers_;
  std::map<std::string, Profile> profiles_;
  std::map<std::string, Tenant> tenants_;
  std::map<std::string, Member> members_;
  std::map<std::string, std::string> owners_;  // address -> id
  std::map<std::string, std::vector<IpAddress>> names_;
};

}  // namespace claw::network
