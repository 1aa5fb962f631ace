#include "agent/rpc/convert.h"
#include "agent/rpc/names.h"
#include "agent/rpc/page.h"
#include "agent/rpc/reactors.h"
#include "agent/rpc/services.h"
#include "claw/node/v1/tenant.grpc.pb.h"

namespace claw::rpc {
namespace {

using google::protobuf::Empty;

pb::Tenant Show(const Context& context, const Tenant& tenant) {
  return ToProto(tenant, context.node.CountSandboxes(tenant.name));
}

Task<StatusOr<pb::Tenant>> CreateTenant(const Context& context,
                                        const pb::CreateTenantRequest& request,
                                        const std::string& actor) {
  CO_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  CO_ASSIGN_OR_RETURN(Tenant wanted, FromProto(request));
  auto tenant = co_await context.node.CreateTenant(MakeCall(request, actor), std::move(wanted));
  if (!tenant.ok()) co_return tenant.status();
  co_return Show(context, *tenant);
}

Task<StatusOr<pb::Tenant>> GetTenant(const Context& context, const pb::GetTenantRequest& request) {
  CO_ASSIGN_OR_RETURN(const std::string name, ParseTenantName("name", request.name()));
  CO_ASSIGN_OR_RETURN(const Tenant tenant, context.node.GetTenant(name));
  co_return Show(context, tenant);
}

Task<StatusOr<pb::ListTenantsResponse>> ListTenants(const Context& context,
                                                    const pb::ListTenantsRequest& request) {
  const std::vector<Tenant> tenants = context.node.ListTenants();
  const auto key_of = [](const Tenant& tenant) { return tenant.name; };
  const auto add = [&context](const Tenant& tenant, pb::ListTenantsResponse& response) {
    *response.add_tenants() = Show(context, tenant);
  };
  co_return RespondPage<pb::ListTenantsResponse>("tenants", tenants, key_of, request, add);
}

Task<StatusOr<pb::Tenant>> UpdateTenant(const Context& context,
                                        const pb::UpdateTenantRequest& request,
                                        const std::string& actor) {
  CO_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  CO_ASSIGN_OR_RETURN(const std::string name,
                      ParseTenantName("tenant.name", request.tenant().name()));
  CO_ASSIGN_OR_RETURN(lifecycle::TenantPatch patch, FromProto(request));
  auto tenant =
      co_await context.node.UpdateTenant(MakeCall(request, actor), name, std::move(patch));
  if (!tenant.ok()) co_return tenant.status();
  co_return Show(context, *tenant);
}

Task<StatusOr<Empty>> DeleteTenant(const Context& context, const pb::DeleteTenantRequest& request,
                                   const std::string& actor) {
  CO_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  CO_ASSIGN_OR_RETURN(const std::string name, ParseTenantName("name", request.name()));
  const Status status =
      co_await context.node.DeleteTenant(MakeCall(request, actor), name, request.allow_missing());
  if (!status.ok()) co_return status;
  co_return Empty();
}

class TenantService final : public pb::TenantService::CallbackService {
 public:
  explicit TenantService(const Context& context) : context_(context) {}

  grpc::ServerUnaryReactor* CreateTenant(grpc::CallbackServerContext* call,
                                         const pb::CreateTenantRequest* request,
                                         pb::Tenant* response) override {
    return Change(context_, *call, request, response, rpc::CreateTenant);
  }
  grpc::ServerUnaryReactor* GetTenant(grpc::CallbackServerContext* /*call*/,
                                      const pb::GetTenantRequest* request,
                                      pb::Tenant* response) override {
    return Unary(context_, WhenCallerLeaves::kCancel, request, response, rpc::GetTenant);
  }
  grpc::ServerUnaryReactor* ListTenants(grpc::CallbackServerContext* /*call*/,
                                        const pb::ListTenantsRequest* request,
                                        pb::ListTenantsResponse* response) override {
    return Unary(context_, WhenCallerLeaves::kCancel, request, response, rpc::ListTenants);
  }
  grpc::ServerUnaryReactor* UpdateTenant(grpc::CallbackServerContext* call,
                                         const pb::UpdateTenantRequest* request,
                                         pb::Tenant* response) override {
    return Change(context_, *call, request, response, rpc::UpdateTenant);
  }
  grpc::ServerUnaryReactor* DeleteTenant(grpc::CallbackServerContext* call,
                                         const pb::DeleteTenantRequest* request,
                                         Empty* response) override {
    return Change(context_, *call, request, response, rpc::DeleteTenant);
  }

 private:
  const Context& context_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeTenantService(const Context& context) {
  return std::make_unique<TenantService>(context);
}

}  // namespace claw::rpc
