#include "claw/node/v1/compat.grpc.pb.h"
#include "tests/unit/clawctl/fake_parts.h"

namespace claw::ctl::testing {
namespace {

using google::protobuf::Empty;
using grpc::ServerContext;
using Lock = std::unique_lock<std::mutex>;

class CompatFake final : public pb::CompatService::Service {
 public:
  explicit CompatFake(FakeState& state) : state_(state) {}

  grpc::Status TestImage(ServerContext* /*context*/, const pb::TestImageRequest* request,
                         grpc::ServerWriter<pb::TestImageProgress>* writer) override {
    const Lock lock(state_.mutex);
    state_.test_requests.push_back(*request);
    if (auto refused = Refuse(state_, request->request_id())) return *refused;
    if (state_.tests.empty()) {
      pb::ErrorDetail detail;
      detail.set_reason("PROBE_BROKEN");
      return ToGrpc({.code = 9, .message = "it fails under runc too", .detail = detail});
    }
    pb::TestImageProgress step;
    step.set_message("probe 1 of 1: gvisor");
    writer->Write(step);
    step.clear_message();
    *step.mutable_verdict() = state_.tests.front();
    state_.tests.erase(state_.tests.begin());
    writer->Write(step);
    return grpc::Status::OK;
  }
  grpc::Status GetVerdict(ServerContext* /*context*/, const pb::GetVerdictRequest* request,
                          pb::Verdict* response) override {
    const Lock lock(state_.mutex);
    return Find(request->image(), response);
  }
  grpc::Status ListVerdicts(ServerContext* /*context*/, const pb::ListVerdictsRequest* request,
                            pb::ListVerdictsResponse* response) override {
    const Lock lock(state_.mutex);
    response->set_next_page_token(
        Page(state_.verdicts, request->page_token(), state_.page_size,
             [&](const pb::Verdict& verdict) { *response->add_verdicts() = verdict; }));
    return grpc::Status::OK;
  }
  grpc::Status AcceptVerdict(ServerContext* /*context*/, const pb::AcceptVerdictRequest* request,
                             pb::Verdict* response) override {
    const Lock lock(state_.mutex);
    if (auto refused = Refuse(state_, request->request_id())) return *refused;
    const grpc::Status found = Find(request->image(), response);
    response->set_accepted_by("unix:root(0)");
    return found;
  }
  grpc::Status DeleteVerdict(ServerContext* /*context*/, const pb::DeleteVerdictRequest* request,
                             Empty* /*response*/) override {
    const Lock lock(state_.mutex);
    if (auto refused = Refuse(state_, request->request_id())) return *refused;
    pb::Verdict found;
    return Find(request->image(), &found);
  }
  grpc::Status CreateOverride(ServerContext* /*context*/, const pb::CreateOverrideRequest* request,
                              pb::Override* response) override {
    const Lock lock(state_.mutex);
    state_.override_adds.push_back(*request);
    if (auto refused = Refuse(state_, request->request_id())) return *refused;
    response->set_image(request->image());
    response->set_isolation_class(request->isolation_class());
    response->set_reason(request->reason());
    response->set_given_by("unix:root(0)");
    response->mutable_create_time()->set_seconds(1'000'000);
    response->mutable_expire_time()->set_seconds(1'000'192 + request->ttl().seconds());
    state_.overrides.push_back(*response);
    return grpc::Status::OK;
  }
  grpc::Status ListOverrides(ServerContext* /*context*/, const pb::ListOverridesRequest* request,
                             pb::ListOverridesResponse* response) override {
    const Lock lock(state_.mutex);
    response->set_next_page_token(
        Page(state_.overrides, request->page_token(), state_.page_size,
             [&](const pb::Override& entry) { *response->add_overrides() = entry; }));
    return grpc::Status::OK;
  }
  grpc::Status DeleteOverride(ServerContext* /*context*/, const pb::DeleteOverrideRequest* request,
                              Empty* /*response*/) override {
    const Lock lock(state_.mutex);
    if (auto refused = Refuse(state_, request->request_id())) return *refused;
    const auto gone = std::erase_if(
        state_.overrides, [&](const auto& entry) { return entry.image() == request->image(); });
    return gone != 0 ? grpc::Status::OK : NotThere("override");
  }

 private:
  grpc::Status Find(const std::string& image, pb::Verdict* response) {
    for (const auto& verdict : state_.verdicts) {
      if (verdict.image() != image && "images/" + verdict.reference() != image) continue;
      *response = verdict;
      return grpc::Status::OK;
    }
    return NotThere("verdict");
  }

  FakeState& state_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeCompatFake(FakeState& state) {
  return std::make_unique<CompatFake>(state);
}

}  // namespace claw::ctl::testing
