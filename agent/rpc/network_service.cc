#include <algorithm>

#include "agent/rpc/convert_network.h"
#include "agent/rpc/names.h"
#include "agent/rpc/page.h"
#include "agent/rpc/reactors.h"
#include "agent/rpc/services.h"
#include "claw/node/v1/network.grpc.pb.h"

namespace claw::rpc {
namespace {

using google::protobuf::Empty;
using CallContext = grpc::CallbackServerContext;
using enum WhenCallerLeaves;

pb::NamedNetworkPolicy Show(const Context& context, const NamedNetworkPolicy& named) {
  pb::NamedNetworkPolicy proto = ToProto(named);
  for (const Tenant& tenant : context.node.ListTenants()) {
    if (tenant.network_policy == named.name) proto.add_tenants(StrCat("tenants/", tenant.name));
  }
  return proto;
}

Task<StatusOr<pb::NamedNetworkPolicy>> PutNetworkPolicy(const Context& context,
                                                        const pb::PutNetworkPolicyRequest& request,
                                                        const std::string& actor) {
  CO_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  NamedNetworkPolicy wanted;
  CO_ASSIGN_OR_RETURN(wanted.name, ParseNetworkPolicyName("policy.name", request.policy().name()));
  CO_ASSIGN_OR_RETURN(wanted.policy, FromProto(request.policy().policy(), "policy.policy"));
  if (request.validate_only()) {
    if (const auto known = context.node.GetNetworkPolicy(wanted.name); known.ok()) {
      wanted.created_at = known->created_at;
      wanted.updated_at = known->updated_at;
    }
    co_return Show(context, wanted);
  }
  CO_ASSIGN_OR_RETURN(
      const NamedNetworkPolicy named,
      co_await context.node.PutNetworkPolicy(MakeCall(request, actor), std::move(wanted)));
  co_return Show(context, named);
}

Task<StatusOr<pb::NamedNetworkPolicy>> GetNetworkPolicy(
    const Context& context, const pb::GetNetworkPolicyRequest& request) {
  CO_ASSIGN_OR_RETURN(const std::string name, ParseNetworkPolicyName("name", request.name()));
  CO_ASSIGN_OR_RETURN(const NamedNetworkPolicy named, context.node.GetNetworkPolicy(name));
  co_return Show(context, named);
}

Task<StatusOr<pb::ListNetworkPoliciesResponse>> ListNetworkPolicies(
    const Context& context, const pb::ListNetworkPoliciesRequest& request) {
  const std::vector<NamedNetworkPolicy> all = context.node.ListNetworkPolicies();
  const auto key_of = [](const NamedNetworkPolicy& named) { return named.name; };
  const auto add = [&context](const NamedNetworkPolicy& named,
                              pb::ListNetworkPoliciesResponse& response) {
    *response.add_policies() = Show(context, named);
  };
  co_return RespondPage<pb::ListNetworkPoliciesResponse>("network policies", all, key_of, request,
                                                         add);
}

Task<StatusOr<Empty>> DeleteNetworkPolicy(const Context& context,
                                          const pb::DeleteNetworkPolicyRequest& request,
                                          const std::string& actor) {
  CO_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  CO_ASSIGN_OR_RETURN(const std::string name, ParseNetworkPolicyName("name", request.name()));
  const Status status = co_await context.node.DeleteNetworkPolicy(MakeCall(request, actor), name,
                                                                  request.allow_missing());
  CO_RETURN_IF_ERROR(status);
  co_return Empty();
}

Task<StatusOr<pb::SandboxNetwork>> SetSandboxNetwork(const Context& context,
                                                     const pb::SetSandboxNetworkRequest& request,
                                                     const std::string& actor) {
  CO_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  CO_ASSIGN_OR_RETURN(const std::string name, ParseSandboxName("name", request.name()));
  std::optional<NetworkPolicy> policy;
  if (request.has_policy()) {
    CO_ASSIGN_OR_RETURN(policy, FromProto(request.policy(), "policy"));
  }
  CO_ASSIGN_OR_RETURN(
      const Sandbox sandbox,
      co_await context.node.SetSandboxNetwork(MakeCall(request, actor), name, std::move(policy)));
  // It is done: what cannot be shown of it any more is left out.
  lifecycle::NetworkView view;
  view.sandbox = sandbox;
  const auto views = co_await context.node.ShowNetworks(sandbox.id);
  if (views.ok() && views->size() == 1) view = views->front();
  co_return ToProto(view);
}

Task<StatusOr<pb::SandboxNetwork>> GetSandboxNetwork(const Context& context,
                                                     const pb::GetSandboxNetworkRequest& request) {
  CO_ASSIGN_OR_RETURN(const std::string name, ParseSandboxName("name", request.name()));
  CO_ASSIGN_OR_RETURN(const auto views, co_await context.node.ShowNetworks(name));
  if (views.size() != 1) co_return Internal(views.size(), " networks of one sandbox");
  co_return ToProto(views.front());
}

Task<StatusOr<pb::ListSandboxNetworksResponse>> ListSandboxNetworks(
    const Context& context, const pb::ListSandboxNetworksRequest& request) {
  CO_ASSIGN_OR_RETURN(std::vector<lifecycle::NetworkView> views,
                      co_await context.node.ShowNetworks(""));
  const auto key_of = [](const lifecycle::NetworkView& view) {
    return StrCat(NumberKey(ToMicros(view.sandbox.created_at)), view.sandbox.id);
  };
  std::sort(views.begin(), views.end(),
            [&key_of](const auto& a, const auto& b) { return key_of(a) < key_of(b); });
  const auto add = [](const lifecycle::NetworkView& view,
                      pb::ListSandboxNetworksResponse& response) {
    *response.add_networks() = ToProto(view);
  };
  co_return RespondPage<pb::ListSandboxNetworksResponse>("sandbox networks", views, key_of, request,
                                                         add);
}

class NetworkService final : public pb::NetworkService::CallbackService {
 public:
  explicit NetworkService(const Context& context) : context_(context) {}

  grpc::ServerUnaryReactor* PutNetworkPolicy(CallContext* call,
                                             const pb::PutNetworkPolicyRequest* request,
                                             pb::NamedNetworkPolicy* response) override {
    return Change(context_, *call, request, response, rpc::PutNetworkPolicy);
  }
  grpc::ServerUnaryReactor* GetNetworkPolicy(CallContext* /*call*/,
                                             const pb::GetNetworkPolicyRequest* request,
                                             pb::NamedNetworkPolicy* response) override {
    return Unary(context_, kCancel, request, response, rpc::GetNetworkPolicy);
  }
  grpc::ServerUnaryReactor* ListNetworkPolicies(
      CallContext* /*call*/, const pb::ListNetworkPoliciesRequest* request,
      pb::ListNetworkPoliciesResponse* response) override {
    return Unary(context_, kCancel, request, response, rpc::ListNetworkPolicies);
  }
  grpc::ServerUnaryReactor* DeleteNetworkPolicy(CallContext* call,
                                                const pb::DeleteNetworkPolicyRequest* request,
                                                Empty* response) override {
    return Change(context_, *call, request, response, rpc::DeleteNetworkPolicy);
  }
  grpc::ServerUnaryReactor* SetSandboxNetwork(CallContext* call,
                                              const pb::SetSandboxNetworkRequest* request,
                                              pb::SandboxNetwork* response) override {
    return Change(context_, *call, request, response, rpc::SetSandboxNetwork);
  }
  grpc::ServerUnaryReactor* GetSandboxNetwork(CallContext* /*call*/,
                                              const pb::GetSandboxNetworkRequest* request,
                                              pb::SandboxNetwork* response) override {
    return Unary(context_, kCancel, request, response, rpc::GetSandboxNetwork);
  }
  grpc::ServerUnaryReactor* ListSandboxNetworks(
      CallContext* /*call*/, const pb::ListSandboxNetworksRequest* request,
      pb::ListSandboxNetworksResponse* response) override {
    return Unary(context_, kCancel, request, response, rpc::ListSandboxNetworks);
  }

 private:
  const Context& context_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeNetworkService(const Context& context) {
  return std::make_unique<NetworkService>(context);
}

}  // namespace claw::rpc
