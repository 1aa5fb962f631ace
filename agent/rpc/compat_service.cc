#include "agent/rpc/convert.h"
#include "agent/rpc/convert_compat.h"
#include "agent/rpc/names.h"
#include "agent/rpc/page.h"
#include "agent/rpc/progress_lines.h"
#include "agent/rpc/reactors.h"
#include "agent/rpc/services.h"
#include "agent/rpc/task_group.h"
#include "claw/node/v1/compat.grpc.pb.h"

namespace claw::rpc {
namespace {

using google::protobuf::Empty;

pb::Verdict Show(const Context& context, const CompatVerdict& verdict) {
  return ToProto(verdict, context.node.IsStale(verdict));
}

Task<Status> TestImage(const Context& context, const pb::TestImageRequest& request,
                       const std::string& actor, Sink<pb::TestImageProgress>& sink) {
  CO_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  CO_ASSIGN_OR_RETURN(CompatTestSpec spec, FromProto(request));
  const auto lines = std::make_shared<ProgressLines<pb::TestImageProgress>>(context.strand);
  TaskGroup group(context.strand);
  group.Spawn([&] { return lines->Forward(sink); });
  lifecycle::Node::CompatProgress progress = [lines](std::string line) {
    lines->Add(std::move(line));
  };
  lifecycle::Call call = MakeCall(request, actor);
  const auto verdict =
      co_await context.node.TestImage(std::move(call), std::move(spec), std::move(progress));
  co_await group.Stop();
  if (!verdict.ok()) co_return verdict.status();
  pb::TestImageProgress last;
  last.set_message(verdict->summary);
  *last.mutable_verdict() = Show(context, *verdict);
  co_await sink.Write(std::move(last));
  co_return absl::OkStatus();
}

Task<StatusOr<pb::Verdict>> GetVerdict(const Context& context,
                                       const pb::GetVerdictRequest& request) {
  CO_ASSIGN_OR_RETURN(const std::string image, ParseImageName("image", request.image()));
  CO_ASSIGN_OR_RETURN(const CompatVerdict verdict, context.node.GetVerdict(image));
  co_return Show(context, verdict);
}

Task<StatusOr<pb::ListVerdictsResponse>> ListVerdicts(const Context& context,
                                                      const pb::ListVerdictsRequest& request) {
  const std::vector<CompatVerdict> verdicts = context.node.ListVerdicts();
  const auto add = [&context](const CompatVerdict& verdict, pb::ListVerdictsResponse& response) {
    *response.add_verdicts() = Show(context, verdict);
  };
  co_return RespondPage<pb::ListVerdictsResponse>("verdicts", verdicts, VerdictKey, request, add);
}

Task<StatusOr<pb::Verdict>> AcceptVerdict(const Context& context,
                                          const pb::AcceptVerdictRequest& request,
                                          const std::string& actor) {
  CO_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  CO_ASSIGN_OR_RETURN(const std::string image, ParseImageName("image", request.image()));
  const auto verdict = co_await context.node.AcceptVerdict(MakeCall(request, actor), image);
  if (!verdict.ok()) co_return verdict.status();
  co_return Show(context, *verdict);
}

Task<StatusOr<Empty>> DeleteVerdict(const Context& context, const pb::DeleteVerdictRequest& request,
                                    const std::string& actor) {
  CO_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  CO_ASSIGN_OR_RETURN(const std::string image, ParseImageName("image", request.image()));
  const Status status =
      co_await context.node.DeleteVerdict(MakeCall(request, actor), image, request.allow_missing());
  if (!status.ok()) co_return status;
  co_return Empty();
}

Task<StatusOr<pb::Override>> CreateOverride(const Context& context,
                                            const pb::CreateOverrideRequest& request,
                                            const std::string& actor) {
  CO_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  CO_ASSIGN_OR_RETURN(CompatOverride wanted, FromProto(request));
  CO_ASSIGN_OR_RETURN(const std::chrono::milliseconds ttl,
                      ParseDuration("ttl", request.ttl(), kMaxOverrideTime));
  const auto seconds = std::chrono::floor<std::chrono::seconds>(ttl);
  const auto made =
      co_await context.node.CreateOverride(MakeCall(request, actor), std::move(wanted), seconds);
  if (!made.ok()) co_return made.status();
  co_return ToProto(*made);
}

Task<StatusOr<pb::ListOverridesResponse>> ListOverrides(const Context& context,
                                                        const pb::ListOverridesRequest& request) {
  const std::vector<CompatOverride> overrides = co_await context.node.ListOverrides();
  const auto key_of = [](const CompatOverride& value) { return value.image_digest; };
  const auto add = [](const CompatOverride& value, pb::ListOverridesResponse& response) {
    *response.add_overrides() = ToProto(value);
  };
  co_return RespondPage<pb::ListOverridesResponse>("overrides", overrides, key_of, request, add);
}

Task<StatusOr<Empty>> DeleteOverride(const Context& context,
                                     const pb::DeleteOverrideRequest& request,
                                     const std::string& actor) {
  CO_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  CO_ASSIGN_OR_RETURN(const std::string image, ParseImageName("image", request.image()));
  const Status status = co_await context.node.DeleteOverride(MakeCall(request, actor), image,
                                                             request.allow_missing());
  if (!status.ok()) co_return status;
  co_return Empty();
}

using CallContext = grpc::CallbackServerContext;
using enum WhenCallerLeaves;

class CompatService final : public pb::CompatService::CallbackService {
 public:
  explicit CompatService(const Context& context) : context_(context) {}

  // A test takes long and changes nothing before its end: it ends with its caller.
  grpc::ServerWriteReactor<pb::TestImageProgress>* TestImage(
      CallContext* call, const pb::TestImageRequest* request) override {
    auto reactor = std::make_shared<ServerStreamReactor<pb::TestImageProgress>>(context_, kCancel);
    reactor->Start(reactor, [this, request, actor = CallerIdentity(*call), sink = reactor.get()] {
      return rpc::TestImage(context_, *request, actor, *sink);
    });
    return reactor.get();
  }
  grpc::ServerUnaryReactor* GetVerdict(CallContext* /*call*/, const pb::GetVerdictRequest* request,
                                       pb::Verdict* response) override {
    return Unary(context_, kCancel, request, response, rpc::GetVerdict);
  }
  grpc::ServerUnaryReactor* ListVerdicts(CallContext* /*call*/,
                                         const pb::ListVerdictsRequest* request,
                                         pb::ListVerdictsResponse* response) override {
    return Unary(context_, kCancel, request, response, rpc::ListVerdicts);
  }
  grpc::ServerUnaryReactor* AcceptVerdict(CallContext* call,
                                          const pb::AcceptVerdictRequest* request,
                                          pb::Verdict* response) override {
    return Change(context_, *call, request, response, rpc::AcceptVerdict);
  }
  grpc::ServerUnaryReactor* DeleteVerdict(CallContext* call,
                                          const pb::DeleteVerdictRequest* request,
                                          Empty* response) override {
    return Change(context_, *call, request, response, rpc::DeleteVerdict);
  }
  grpc::ServerUnaryReactor* CreateOverride(CallContext* call,
                                           const pb::CreateOverrideRequest* request,
                                           pb::Override* response) override {
    return Change(context_, *call, request, response, rpc::CreateOverride);
  }
  grpc::ServerUnaryReactor* ListOverrides(CallContext* /*call*/,
                                          const pb::ListOverridesRequest* request,
                                          pb::ListOverridesResponse* response) override {
    return Unary(context_, kFinish, request, response, rpc::ListOverrides);
  }
  grpc::ServerUnaryReactor* DeleteOverride(CallContext* call,
                                           const pb::DeleteOverrideRequest* request,
                                           Empty* response) override {
    return Change(context_, *call, request, response, rpc::DeleteOverride);
  }

 private:
  const Context& context_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeCompatService(const Context& context) {
  return std::make_unique<CompatService>(context);
}

}  // namespace claw::rpc
