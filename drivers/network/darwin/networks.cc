#include "drivers/network/network.h"

namespace claw::network {
namespace {

// A Mac runs tenants in the guests that it hosts; their networks are made there.
class NoNetworks : public Networks {
 public:
  void Listen(NetworkEvents) override {}
  bool HasTraces() const override { return false; }
  NetworkHealth Probe() override { return {.message = "there are no networks for sandboxes here"}; }
  StatusOr<NetworkFiles> Prepare(const NetworkPlan&) override { return Missing(); }
  StatusOr<NetworkAttachment> Attach(const NetworkPlan&, int64_t) override { return Missing(); }
  Status Adopt(const NetworkPlan&, const NetworkAttachment&) override { return Missing(); }
  StatusOr<std::vector<std::string>> Reconcile() override { return std::vector<std::string>{}; }
  Status Detach(const std::string&) override { return absl::OkStatus(); }
  Status Replace(const std::vector<NetworkPlan>&) override { return Missing(); }
  StatusOr<std::map<std::string, NetworkCounters>> Count() override {
    return std::map<std::string, NetworkCounters>{};
  }
  std::vector<ResolvedName> Names(const std::string&) const override { return {}; }

 private:
  static Status Missing() { return Unimplemented("networks of sandboxes need Linux"); }
};

}  // namespace

std::unique_ptr<Networks> MakeNetworks(NetworkConfig, NetworkEvents) {
  return std::make_unique<NoNetworks>();
}

}  // namespace claw::network
