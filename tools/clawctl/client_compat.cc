#include <utility>

#include "claw/node/v1/compat.grpc.pb.h"
#include "tools/clawctl/client_impl.h"

namespace claw::ctl {

StatusOr<pb::Verdict> Client::TestImage(
    pb::TestImageRequest request,
    const std::function<void(const pb::TestImageProgress&)>& on_progress) {
  SetRequestId(request);
  const auto stub = pb::CompatService::NewStub(impl().channel);
  std::optional<pb::Verdict> verdict;
  // Sent again after a break: the request id makes it the same test.
  RETURN_IF_ERROR(impl().ServerStream<pb::TestImageProgress>(
      "TestImage", true,
      [&](grpc::ClientContext* context) { return stub->TestImage(context, request); },
      [&](const pb::TestImageProgress& progress) {
        on_progress(progress);
        if (progress.has_verdict()) verdict = progress.verdict();
      }));
  if (!verdict) return Internal("the agent ended the test without a verdict");
  return *std::move(verdict);
}

StatusOr<pb::Verdict> Client::GetVerdict(const std::string& image) {
  pb::GetVerdictRequest request;
  request.set_image(image);
  return CLAW_UNARY(CompatService, GetVerdict, request);
}

StatusOr<std::vector<pb::Verdict>> Client::ListVerdicts() {
  pb::ListVerdictsRequest request;
  request.set_page_size(kPageSize);
  std::vector<pb::Verdict> verdicts;
  do {
    ASSIGN_OR_RETURN(pb::ListVerdictsResponse page,
                     CLAW_UNARY(CompatService, ListVerdicts, request));
    std::move(page.mutable_verdicts()->begin(), page.mutable_verdicts()->end(),
              std::back_inserter(verdicts));
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return verdicts;
}

StatusOr<pb::Verdict> Client::AcceptVerdict(const std::string& image) {
  pb::AcceptVerdictRequest request;
  request.set_image(image);
  SetRequestId(request);
  return CLAW_UNARY(CompatService, AcceptVerdict, request);
}

Status Client::DeleteVerdict(const std::string& image) {
  pb::DeleteVerdictRequest request;
  request.set_image(image);
  SetRequestId(request);
  return CLAW_UNARY(CompatService, DeleteVerdict, request).status();
}

StatusOr<pb::Override> Client::CreateOverride(pb::CreateOverrideRequest request) {
  SetRequestId(request);
  return CLAW_UNARY(CompatService, CreateOverride, request);
}

StatusOr<std::vector<pb::Override>> Client::ListOverrides() {
  pb::ListOverridesRequest request;
  request.set_page_size(kPageSize);
  std::vector<pb::Override> overrides;
  do {
    ASSIGN_OR_RETURN(pb::ListOverridesResponse page,
                     CLAW_UNARY(CompatService, ListOverrides, request));
    std::move(page.mutable_overrides()->begin(), page.mutable_overrides()->end(),
              std::back_inserter(overrides));
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return overrides;
}

Status Client::DeleteOverride(const std::string& image) {
  pb::DeleteOverrideRequest request;
  request.set_image(image);
  SetRequestId(request);
  return CLAW_UNARY(CompatService, DeleteOverride, request).status();
}

}  // namespace claw::ctl
