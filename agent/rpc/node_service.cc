#include <algorithm>

#include "agent/rpc/budget_calls.h"
#include "agent/rpc/convert.h"
#include "agent/rpc/reactors.h"
#include "agent/rpc/services.h"
#include "claw/node/v1/node.grpc.pb.h"

namespace claw::rpc {
namespace {

void SetHost(const host::HostInfo& host, pb::Node* out) {
  out->set_boot_id(host.boot_id);
  out->set_os(host.os);
  out->set_architecture(host.architecture);
  out->set_kernel_version(host.kernel_version);
  out->set_page_size_bytes(host.page_size_bytes);
  out->set_cpus(host.cpus);
}

void AddDriver(const lifecycle::DriverState& state, pb::Node* out) {
  const drivers::Fingerprint& found = state.fingerprint;
  pb::DriverStatus* status = out->add_drivers();
  status->set_name(std::string(state.driver->name()));
  status->set_healthy(found.healthy);
  status->set_message(found.message);
  status->set_runtime_version(found.runtime_version);
  status->set_runtime_path(found.runtime_path);
  status->set_platform(found.platform);
  status->mutable_capabilities()->Assign(found.capabilities.begin(), found.capabilities.end());
}

void SetCounts(const lifecycle::Node& node, pb::Node* out) {
  const std::vector<Sandbox> sandboxes = node.ListSandboxes();
  const auto active = std::count_if(sandboxes.begin(), sandboxes.end(), [](const Sandbox& sandbox) {
    return !IsTerminal(sandbox.state);
  });
  out->set_active_sandboxes(static_cast<int32_t>(active));
  out->set_total_sandboxes(static_cast<int32_t>(sandboxes.size()));
  out->set_tenants(static_cast<int32_t>(node.ListTenants().size()));
  out->set_images(static_cast<int32_t>(node.ListImages().size()));
}

Task<StatusOr<pb::Node>> GetNode(const Context& context, const pb::GetNodeRequest& /*request*/) {
  const lifecycle::Node& node = context.node;
  pb::Node proto;
  proto.set_node_id(node.config().node_id);
  proto.set_agent_version(context.agent_version);
  proto.set_incarnation_id(node.incarnation());
  proto.set_cgroup_mode(context.cgroup_mode);
  SetHost(node.host(), &proto);
  SetMemory(node.memory(), proto.mutable_memory());
  for (const lifecycle::DriverState& driver : node.drivers()) AddDriver(driver, &proto);
  SetCounts(node, &proto);
  SetTime(node.started_at(), proto.mutable_agent_start_time());
  proto.set_revision(node.revision());
  const std::vector<std::string> conditions = node.conditions();
  proto.set_node_class(std::string(ToString(node.config().node_class)));
  proto.set_hardened(node.hardened());
  proto.set_ready(conditions.empty());
  proto.mutable_conditions()->Assign(conditions.begin(), conditions.end());
  co_return proto;
}

pb::NodeCheck::Outcome ToProto(CheckOutcome outcome) {
  switch (outcome) {
    case CheckOutcome::kPassed:
      return pb::NodeCheck::PASSED;
    case CheckOutcome::kWarning:
      return pb::NodeCheck::WARNING;
    case CheckOutcome::kFailed:
      return pb::NodeCheck::FAILED;
  }
  return pb::NodeCheck::OUTCOME_UNSPECIFIED;
}

Task<StatusOr<pb::CheckNodeResponse>> CheckNode(const Context& context,
                                                const pb::CheckNodeRequest& /*request*/) {
  pb::CheckNodeResponse response;
  const std::vector<NodeCheck> checks = co_await context.node.CheckNode();
  for (const NodeCheck& check : checks) {
    pb::NodeCheck* out = response.add_checks();
    out->set_id(check.id);
    out->set_title(check.title);
    out->set_outcome(ToProto(check.outcome));
    out->set_evidence(check.evidence);
    out->set_fix(check.fix);
    out->set_for_hardened(check.for_hardened);
  }
  response.set_node_class(std::string(ToString(context.node.config().node_class)));
  response.set_hardened(context.node.hardened());
  co_return response;
}

class NodeService final : public pb::NodeService::CallbackService {
 public:
  explicit NodeService(const Context& context) : context_(context) {}

  grpc::ServerUnaryReactor* GetNode(grpc::CallbackServerContext* /*call*/,
                                    const pb::GetNodeRequest* request,
                                    pb::Node* response) override {
    return Unary(context_, WhenCallerLeaves::kCancel, request, response, rpc::GetNode);
  }
  grpc::ServerUnaryReactor* CheckNode(grpc::CallbackServerContext* /*call*/,
                                      const pb::CheckNodeRequest* request,
                                      pb::CheckNodeResponse* response) override {
    return Unary(context_, WhenCallerLeaves::kCancel, request, response, rpc::CheckNode);
  }
  grpc::ServerUnaryReactor* GetBudget(grpc::CallbackServerContext* /*call*/,
                                      const pb::GetBudgetRequest* request,
                                      pb::Budget* response) override {
    return Unary(context_, WhenCallerLeaves::kCancel, request, response, rpc::GetBudget);
  }
  grpc::ServerUnaryReactor* PlanCapacity(grpc::CallbackServerContext* /*call*/,
                                         const pb::PlanCapacityRequest* request,
                                         pb::CapacityPlan* response) override {
    return Unary(context_, WhenCallerLeaves::kCancel, request, response, rpc::PlanCapacity);
  }

 private:
  const Context& context_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeNodeService(const Context& context) {
  return std::make_unique<NodeService>(context);
}

}  // namespace claw::rpc
