#include "claw/node/v1/network.grpc.pb.h"
#include "tests/unit/clawctl/fake_parts.h"

namespace claw::ctl::testing {
namespace {

using google::protobuf::Empty;
using grpc::ServerContext;
using Lock = std::unique_lock<std::mutex>;

class NetworkFake final : public pb::NetworkService::Service {
 public:
  explicit NetworkFake(FakeState& state) : state_(state) {}

  grpc::Status PutNetworkPolicy(ServerContext* /*context*/,
                                const pb::PutNetworkPolicyRequest* request,
                                pb::NamedNetworkPolicy* response) override {
    const Lock lock(state_.mutex);
    state_.policy_puts.push_back(*request);
    if (auto refused = Refuse(state_, request->request_id())) return *refused;
    *response = request->policy();
    pb::NamedNetworkPolicy* known = Find(request->policy().name());
    if (known != nullptr) *response->mutable_tenants() = known->tenants();
    if (request->validate_only()) return grpc::Status::OK;
    if (known == nullptr) known = &state_.policies.emplace_back();
    *known = *response;
    return grpc::Status::OK;
  }
  grpc::Status GetNetworkPolicy(ServerContext* /*context*/,
                                const pb::GetNetworkPolicyRequest* request,
                                pb::NamedNetworkPolicy* response) override {
    const Lock lock(state_.mutex);
    const pb::NamedNetworkPolicy* known = Find(request->name());
    if (known == nullptr) return NoPolicy();
    *response = *known;
    return grpc::Status::OK;
  }
  grpc::Status ListNetworkPolicies(ServerContext* /*context*/,
                                   const pb::ListNetworkPoliciesRequest* request,
                                   pb::ListNetworkPoliciesResponse* response) override {
    const Lock lock(state_.mutex);
    response->set_next_page_token(
        Page(state_.policies, request->page_token(), state_.page_size,
             [&](const pb::NamedNetworkPolicy& one) { *response->add_policies() = one; }));
    return grpc::Status::OK;
  }
  grpc::Status DeleteNetworkPolicy(ServerContext* /*context*/,
                                   const pb::DeleteNetworkPolicyRequest* request,
                                   Empty* /*response*/) override {
    const Lock lock(state_.mutex);
    if (auto refused = Refuse(state_, request->request_id())) return *refused;
    const auto gone = std::erase_if(state_.policies,
                                    [&](const auto& one) { return one.name() == request->name(); });
    return gone != 0 ? grpc::Status::OK : NoPolicy();
  }
  grpc::Status SetSandboxNetwork(ServerContext* /*context*/,
                                 const pb::SetSandboxNetworkRequest* request,
                                 pb::SandboxNetwork* response) override {
    const Lock lock(state_.mutex);
    state_.network_sets.push_back(*request);
    if (auto refused = Refuse(state_, request->request_id())) return *refused;
    return Show(request->name(), response);
  }
  grpc::Status GetSandboxNetwork(ServerContext* /*context*/,
                                 const pb::GetSandboxNetworkRequest* request,
                                 pb::SandboxNetwork* response) override {
    const Lock lock(state_.mutex);
    return Show(request->name(), response);
  }
  grpc::Status ListSandboxNetworks(ServerContext* /*context*/,
                                   const pb::ListSandboxNetworksRequest* request,
                                   pb::ListSandboxNetworksResponse* response) override {
    const Lock lock(state_.mutex);
    response->set_next_page_token(
        Page(state_.networks, request->page_token(), state_.page_size,
             [&](const pb::SandboxNetwork& one) { *response->add_networks() = one; }));
    return grpc::Status::OK;
  }

 private:
  static grpc::Status NoPolicy() {
    pb::ErrorDetail detail;
    detail.set_reason("NETWORK_POLICY_NOT_FOUND");
    return ToGrpc({.code = 5, .message = "there is no network policy", .detail = detail});
  }
  pb::NamedNetworkPolicy* Find(const std::string& name) {
    for (pb::NamedNetworkPolicy& one : state_.policies) {
      if (one.name() == name) return &one;
    }
    return nullptr;
  }
  grpc::Status Show(const std::string& name, pb::SandboxNetwork* out) {
    for (const pb::SandboxNetwork& one : state_.networks) {
      if (one.name() != name) continue;
      *out = one;
      return grpc::Status::OK;
    }
    return NotThere("sandbox");
  }

  FakeState& state_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeNetworkFake(FakeState& state) {
  return std::make_unique<NetworkFake>(state);
}

}  // namespace claw::ctl::testing
