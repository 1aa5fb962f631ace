#include "claw/node/v1/node.grpc.pb.h"
#include "tests/unit/clawctl/fake_parts.h"

namespace claw::ctl::testing {
namespace {

using grpc::ServerContext;
using Lock = std::unique_lock<std::mutex>;

class NodeFake final : public pb::NodeService::Service {
 public:
  explicit NodeFake(FakeState& state) : state_(state) {}
  grpc::Status GetNode(ServerContext* /*context*/, const pb::GetNodeRequest* /*request*/,
                       pb::Node* response) override {
    const Lock lock(state_.mutex);
    *response = state_.node;
    return grpc::Status::OK;
  }
  grpc::Status CheckNode(ServerContext* /*context*/, const pb::CheckNodeRequest* /*request*/,
                         pb::CheckNodeResponse* response) override {
    const Lock lock(state_.mutex);
    *response = state_.checks;
    return grpc::Status::OK;
  }
  grpc::Status GetBudget(ServerContext* /*context*/, const pb::GetBudgetRequest* request,
                         pb::Budget* response) override {
    const Lock lock(state_.mutex);
    *response = state_.budget;
    response->set_workload_bytes(request->workload_bytes());
    response->set_memory_request_bytes(request->memory_request_bytes());
    return grpc::Status::OK;
  }
  grpc::Status PlanCapacity(ServerContext* /*context*/, const pb::PlanCapacityRequest* request,
                            pb::CapacityPlan* response) override {
    const Lock lock(state_.mutex);
    state_.plans.push_back(*request);
    *response = state_.plan;
    return grpc::Status::OK;
  }
  grpc::Status CordonNode(ServerContext* /*context*/, const pb::CordonNodeRequest* request,
                          pb::Node* response) override {
    const Lock lock(state_.mutex);
    state_.cordons.push_back(*request);
    if (auto refused = Refuse(state_, request->request_id())) return *refused;
    pb::Cordon& cordon = *state_.node.mutable_cordon();
    cordon.set_reason(request->reason());
    cordon.set_cordoned_by("unix:root(0)");
    cordon.mutable_cordon_time()->set_seconds(1'000'000);
    *response = state_.node;
    return grpc::Status::OK;
  }
  grpc::Status UncordonNode(ServerContext* /*context*/, const pb::UncordonNodeRequest* request,
                            pb::Node* response) override {
    const Lock lock(state_.mutex);
    if (auto refused = Refuse(state_, request->request_id())) return *refused;
    state_.node.clear_cordon();
    *response = state_.node;
    return grpc::Status::OK;
  }
  // Ends once all has been sent: with the first refusal, if there is one.
  grpc::Status WatchNode(ServerContext* /*context*/, const pb::WatchNodeRequest* request,
                         grpc::ServerWriter<pb::NodeChange>* writer) override {
    const Lock lock(state_.mutex);
    state_.node_watches.push_back(*request);
    for (const auto& change : state_.changes) {
      if (change.revision() > request->resume_revision()) writer->Write(change);
    }
    return Refuse(state_, "").value_or(grpc::Status::OK);
  }

 private:
  FakeState& state_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeNodeFake(FakeState& state) {
  return std::make_unique<NodeFake>(state);
}

}  // namespace claw::ctl::testing
