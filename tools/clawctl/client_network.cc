#include <algorithm>
#include <iterator>
#include <utility>

#include "claw/node/v1/network.grpc.pb.h"
#include "tools/clawctl/client_impl.h"

namespace claw::ctl {

StatusOr<pb::NamedNetworkPolicy> Client::PutNetworkPolicy(pb::PutNetworkPolicyRequest request) {
  SetRequestId(request);
  return CLAW_UNARY(NetworkService, PutNetworkPolicy, request);
}

StatusOr<pb::NamedNetworkPolicy> Client::GetNetworkPolicy(const std::string& name) {
  pb::GetNetworkPolicyRequest request;
  request.set_name(name);
  return CLAW_UNARY(NetworkService, GetNetworkPolicy, request);
}

StatusOr<std::vector<pb::NamedNetworkPolicy>> Client::ListNetworkPolicies() {
  pb::ListNetworkPoliciesRequest request;
  request.set_page_size(kPageSize);
  std::vector<pb::NamedNetworkPolicy> policies;
  do {
    ASSIGN_OR_RETURN(pb::ListNetworkPoliciesResponse page,
                     CLAW_UNARY(NetworkService, ListNetworkPolicies, request));
    std::move(page.mutable_policies()->begin(), page.mutable_policies()->end(),
              std::back_inserter(policies));
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return policies;
}

Status Client::DeleteNetworkPolicy(pb::DeleteNetworkPolicyRequest request) {
  SetRequestId(request);
  return CLAW_UNARY(NetworkService, DeleteNetworkPolicy, request).status();
}

StatusOr<pb::SandboxNetwork> Client::SetSandboxNetwork(pb::SetSandboxNetworkRequest request) {
  SetRequestId(request);
  return CLAW_UNARY(NetworkService, SetSandboxNetwork, request);
}

StatusOr<pb::SandboxNetwork> Client::GetSandboxNetwork(const std::string& name) {
  pb::GetSandboxNetworkRequest request;
  request.set_name(name);
  return CLAW_UNARY(NetworkService, GetSandboxNetwork, request);
}

StatusOr<std::vector<pb::SandboxNetwork>> Client::ListSandboxNetworks() {
  pb::ListSandboxNetworksRequest request;
  request.set_page_size(kPageSize);
  std::vector<pb::SandboxNetwork> networks;
  do {
    ASSIGN_OR_RETURN(pb::ListSandboxNetworksResponse page,
                     CLAW_UNARY(NetworkService, ListSandboxNetworks, request));
    std::move(page.mutable_networks()->begin(), page.mutable_networks()->end(),
              std::back_inserter(networks));
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return networks;
}

}  // namespace claw::ctl
