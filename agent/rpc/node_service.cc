#include "agent/rpc/budget_calls.h"
#include "agent/rpc/convert.h"
#include "agent/rpc/names.h"
#include "agent/rpc/node_view.h"
#include "agent/rpc/reactors.h"
#include "agent/rpc/services.h"
#include "claw/node/v1/node.grpc.pb.h"

namespace claw::rpc {
namespace {

Task<StatusOr<pb::Node>> GetNode(const Context& context, const pb::GetNodeRequest& /*request*/) {
  co_return ShowNode(context);
}

Task<StatusOr<pb::Node>> CordonNode(const Context& context, const pb::CordonNodeRequest& request,
                                    const std::string& actor) {
  CO_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  CO_RETURN_IF_ERROR(co_await context.node.Cordon(MakeCall(request, actor), request.reason()));
  co_return ShowNode(context);
}

Task<StatusOr<pb::Node>> UncordonNode(const Context& context,
                                      const pb::UncordonNodeRequest& request,
                                      const std::string& actor) {
  CO_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  CO_RETURN_IF_ERROR(co_await context.node.Uncordon(MakeCall(request, actor)));
  co_return ShowNode(context);
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
  grpc::ServerUnaryReactor* CordonNode(grpc::CallbackServerContext* call,
                                       const pb::CordonNodeRequest* request,
                                       pb::Node* response) override {
    return Change(context_, *call, request, response, rpc::CordonNode);
  }
  grpc::ServerUnaryReactor* UncordonNode(grpc::CallbackServerContext* call,
                                         const pb::UncordonNodeRequest* request,
                                         pb::Node* response) override {
    return Change(context_, *call, request, response, rpc::UncordonNode);
  }
  grpc::ServerWriteReactor<pb::NodeChange>* WatchNode(
      grpc::CallbackServerContext* /*call*/, const pb::WatchNodeRequest* request) override {
    return ServerStream(context_, WhenCallerLeaves::kCancel, request, rpc::WatchNode);
  }

 private:
  const Context& context_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeNodeService(const Context& context) {
  return std::make_unique<NodeService>(context);
}

}  // namespace claw::rpc
