#include <algorithm>

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

void SetMemory(const lifecycle::MemoryView& memory, pb::NodeMemory* out) {
  out->set_capacity_bytes(memory.capacity_bytes);
  out->set_reserved_bytes(memory.reserved_bytes);
  out->set_allocatable_bytes(memory.allocatable_bytes);
  out->set_charged_bytes(memory.charged_bytes);
  out->set_available_bytes(
      std::max<int64_t>(0, SaturatingSub(memory.allocatable_bytes, memory.charged_bytes)));
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

pb::OverheadClass ToProto(const lifecycle::Node::OverheadView& view) {
  pb::OverheadClass out;
  out.set_image_digest(view.sandboxes.image_digest);
  out.set_image_family(view.sandboxes.image_family);
  out.set_driver(view.sandboxes.driver);
  out.set_runtime_version(view.sandboxes.runtime_version);
  out.set_platform(view.sandboxes.platform);
  out.set_architecture(view.sandboxes.architecture);
  out.set_page_size_bytes(view.sandboxes.page_size_bytes);
  out.set_overhead_bytes(view.estimate.bytes);
  out.set_prior_bytes(view.estimate.prior_bytes);
  for (const budget::OverheadStep& step : view.estimate.steps) {
    pb::OverheadEstimate* level = out.add_levels();
    level->set_level(std::string(ToString(step.level)));
    level->set_windows(step.windows);
    level->set_weight(step.weight);
    level->set_trust(step.trust);
    level->set_quantile_bytes(step.quantile_bytes);
    level->set_recent_bytes(step.recent_bytes);
    level->set_borrowed_bytes(step.borrowed_bytes);
    level->set_estimate_bytes(step.estimate_bytes);
  }
  for (const OverheadPeak& peak : view.samples) {
    pb::OverheadPeak* sample = out.add_samples();
    sample->set_bytes(peak.bytes);
    SetTime(peak.at, sample->mutable_time());
  }
  return out;
}

Task<StatusOr<pb::Budget>> GetBudget(const Context& context, const pb::GetBudgetRequest& request) {
  const int64_t asked = request.workload_bytes();
  const int64_t workload = asked == 0 ? kDefaultWorkloadBytes : asked;
  if (workload < kMinWorkloadBytes || workload > kMaxWorkloadBytes) {
    co_return MakeError(StatusCode::kInvalidArgument,
                        StrCat("workload_bytes is ", asked, "; it has to lie between ",
                               kMinWorkloadBytes, " and ", kMaxWorkloadBytes),
                        {.reason = "OUT_OF_RANGE", .constraint = "workload_bytes"});
  }
  const lifecycle::Node& node = context.node;
  const lifecycle::MemoryView memory = node.memory();
  pb::Budget budget;
  SetMemory(memory, budget.mutable_memory());
  budget.set_charged_workload_bytes(memory.charged_workload_bytes);
  budget.set_charged_overhead_bytes(memory.charged_overhead_bytes);
  budget.set_charged_test_bytes(memory.charged_test_bytes);
  budget.set_workload_bytes(workload);
  std::vector<lifecycle::Node::OverheadView> views = node.ListOverheads();
  for (const lifecycle::Node::OverheadView& view : views) {
    pb::OverheadClass* out = budget.add_classes();
    *out = ToProto(view);
    out->set_more_fit(budget::MoreFit(memory.allocatable_bytes, memory.charged_bytes,
                                      budget::Charge(workload, view.estimate.bytes)));
  }
  co_return budget;
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

 private:
  const Context& context_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeNodeService(const Context& context) {
  return std::make_unique<NodeService>(context);
}

}  // namespace claw::rpc
