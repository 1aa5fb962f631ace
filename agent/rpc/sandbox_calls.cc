#include "agent/rpc/sandbox_calls.h"

#include "agent/rpc/convert.h"
#include "agent/rpc/log_stream.h"
#include "agent/rpc/names.h"
#include "agent/rpc/page.h"
#include "agent/rpc/placement_calls.h"

namespace claw::rpc {
namespace {

using google::protobuf::Empty;

constexpr std::chrono::milliseconds kMaxGrace = std::chrono::hours(1);
constexpr int kLastSignal = 64;  // SIGRTMAX of Linux, whatever this is compiled for

StatusOr<pb::Sandbox> Show(const StatusOr<Sandbox>& sandbox) {
  if (!sandbox.ok()) return sandbox.status();
  return ToProto(*sandbox);
}

// By creation, then id, as the node lists them.
std::string KeyOf(const Sandbox& sandbox) {
  return StrCat(NumberKey(ToMicros(sandbox.created_at)), sandbox.id);
}

StatusOr<std::optional<std::chrono::milliseconds>> GraceOf(const pb::StopSandboxRequest& request) {
  if (!request.has_grace_period()) return std::nullopt;
  return ParseDuration("grace_period", request.grace_period(), kMaxGrace);
}

}  // namespace

Task<StatusOr<pb::Sandbox>> CreateSandbox(const Context& context,
                                          const pb::CreateSandboxRequest& request,
                                          const std::string& actor) {
  CO_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  CO_ASSIGN_OR_RETURN(const SandboxSpec spec, FromProto(request.spec()));
  const StatusOr<Sandbox> sandbox =
      co_await context.node.CreateSandbox(MakeCall(request, actor), spec, request.validate_only());
  if (!sandbox.ok()) co_return ExplainRefusal(context, spec, sandbox.status());
  co_return ToProto(*sandbox);
}

Task<StatusOr<pb::Sandbox>> GetSandbox(const Context& context,
                                       const pb::GetSandboxRequest& request) {
  CO_ASSIGN_OR_RETURN(const std::string name, ParseSandboxName("name", request.name()));
  co_return Show(context.node.GetSandbox(name));
}

Task<StatusOr<pb::ListSandboxesResponse>> ListSandboxes(const Context& context,
                                                        const pb::ListSandboxesRequest& request) {
  CO_ASSIGN_OR_RETURN(const std::string tenant, ParseTenantFilter("tenant", request.tenant()));
  std::vector<Sandbox> sandboxes = context.node.ListSandboxes();
  std::erase_if(sandboxes, [&](const Sandbox& sandbox) {
    return (!tenant.empty() && sandbox.spec.tenant != tenant) ||
           (request.active_only() && IsTerminal(sandbox.state));
  });
  const std::string list =
      StrCat("sandboxes of ", tenant, request.active_only() ? " active" : " all");
  const auto add = [](const Sandbox& sandbox, pb::ListSandboxesResponse& out) {
    *out.add_sandboxes() = ToProto(sandbox);
  };
  CO_ASSIGN_OR_RETURN(pb::ListSandboxesResponse response,
                      RespondPage<pb::ListSandboxesResponse>(list, sandboxes, KeyOf, request, add));
  response.set_revision(context.node.revision());
  co_return response;
}

Task<StatusOr<pb::Sandbox>> StopSandbox(const Context& context,
                                        const pb::StopSandboxRequest& request,
                                        const std::string& actor) {
  CO_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  CO_ASSIGN_OR_RETURN(const std::string name, ParseSandboxName("name", request.name()));
  CO_ASSIGN_OR_RETURN(const auto grace, GraceOf(request));
  co_return Show(co_await context.node.StopSandbox(MakeCall(request, actor), name, grace));
}

Task<StatusOr<Empty>> SignalSandbox(const Context& context, const pb::SignalSandboxRequest& request,
                                    const std::string& actor) {
  CO_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  CO_ASSIGN_OR_RETURN(const std::string name, ParseSandboxName("name", request.name()));
  if (request.signal() < 1 || request.signal() > kLastSignal) {
    co_return BadField("signal", StrCat("has to lie between 1 and ", kLastSignal));
  }
  const Status status =
      co_await context.node.SignalSandbox(MakeCall(request, actor), name, request.signal());
  if (!status.ok()) co_return status;
  co_return Empty();
}

Task<StatusOr<Empty>> DeleteSandbox(const Context& context, const pb::DeleteSandboxRequest& request,
                                    const std::string& actor) {
  CO_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  CO_ASSIGN_OR_RETURN(const std::string name, ParseSandboxName("name", request.name()));
  const Status status = co_await context.node.DeleteSandbox(
      MakeCall(request, actor), name, request.force(), request.allow_missing());
  if (!status.ok()) co_return status;
  co_return Empty();
}

Task<StatusOr<pb::Sandbox>> WaitSandbox(const Context& context,
                                        const pb::WaitSandboxRequest& request) {
  CO_ASSIGN_OR_RETURN(const std::string name, ParseSandboxName("name", request.name()));
  co_return Show(co_await context.node.WaitSandbox(name, request.until_released()));
}

Task<StatusOr<pb::ListSandboxStatsResponse>> ListSandboxStats(
    const Context& context, const pb::ListSandboxStatsRequest& request) {
  std::string name;
  if (!request.name().empty()) {
    CO_ASSIGN_OR_RETURN(name, ParseSandboxName("name", request.name()));
  }
  const auto stats = co_await context.node.GetStats(name);
  if (!stats.ok()) co_return stats.status();
  pb::ListSandboxStatsResponse response;
  for (const auto& entry : *stats) *response.add_stats() = ToProto(entry);
  co_return response;
}

Task<Status> StreamLogs(const Context& context, const pb::StreamLogsRequest& request,
                        Sink<pb::LogChunk>& sink) {
  CO_ASSIGN_OR_RETURN(const std::string name, ParseSandboxName("name", request.name()));
  if (request.tail_lines() < 0) co_return BadField("tail_lines", "is less than 0");
  LogOptions options{.follow = request.follow(),
                     .tail_lines = request.tail_lines(),
                     .mark_caught_up = request.mark_caught_up()};
  if (request.has_since_time()) {
    CO_ASSIGN_OR_RETURN(options.since, ParseTime("since_time", request.since_time()));
  }
  CO_ASSIGN_OR_RETURN(const Sandbox sandbox, context.node.GetSandbox(name));
  EmitChunk emit = [&sink](pb::LogChunk chunk) { return sink.Write(std::move(chunk)); };
  const auto end = co_await StreamLog(context, sandbox.id, options, std::move(emit));
  co_return end.status();
}

}  // namespace claw::rpc
