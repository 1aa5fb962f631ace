#include "agent/rpc/attach.h"

#include "agent/rpc/convert.h"
#include "agent/rpc/log_stream.h"
#include "agent/rpc/program_input.h"
#include "agent/rpc/task_group.h"

namespace claw::rpc {
namespace {

using Response = pb::AttachResponse;

Task<bool> WriteOutput(Sink<Response>& sink, pb::LogChunk chunk) {
  Response response;
  *response.mutable_output() = std::move(chunk);
  co_return co_await sink.Write(std::move(response));
}

Task<Status> PumpLog(const Context& context, const std::string& id, Sink<Response>& sink,
                     std::optional<Sandbox>& ended) {
  const LogOptions options{.follow = true};
  EmitChunk emit = [&sink](pb::LogChunk chunk) { return WriteOutput(sink, std::move(chunk)); };
  auto end = co_await StreamLog(context, id, options, std::move(emit));
  if (end.ok()) ended = *std::move(end);
  co_return end.status();
}

// Until the caller has said all, or the program has ended.
Task<Status> TakeInput(const Context& context, std::string id, Source<pb::AttachRequest>& source,
                       pb::AttachRequest first) {
  TaskGroup group(context.strand);
  SandboxInput input(context, id, group);
  const auto over = group.Spawn(
      [&]() -> Task<Status> { co_return (co_await context.node.WaitSandbox(id)).status(); });
  const auto reading = group.Spawn([&] { return PumpInput(source, input, std::move(first)); });
  auto done = [&] { return over->ended || reading->ended; };
  co_await group.WaitUntil(std::move(done));
  source.StopReading();
  const Status status = reading->ended ? reading->status : absl::OkStatus();
  co_await group.Stop();
  co_return status;
}

}  // namespace

Task<Status> AttachSandbox(const Context& context, Source<pb::AttachRequest>& source,
                           Sink<Response>& sink) {
  std::optional<pb::AttachRequest> first = co_await source.Read();
  if (!first) co_return InvalidArgument("the first message has to name the sandbox");
  CO_ASSIGN_OR_RETURN(const std::string name, ParseSandboxName("name", first->name()));
  CO_ASSIGN_OR_RETURN(const Sandbox sandbox, context.node.GetSandbox(name));

  if (first->input_only()) {
    co_return co_await TakeInput(context, sandbox.id, source, *std::move(first));
  }

  TaskGroup group(context.strand);
  SandboxInput input(context, sandbox.id, group);
  std::optional<Sandbox> ended;
  const auto output = group.Spawn([&] { return PumpLog(context, sandbox.id, sink, ended); });
  const auto reading = group.Spawn([&] { return PumpInput(source, input, *std::move(first)); });
  auto done = [&] { return output->ended || (reading->ended && !reading->status.ok()); };
  co_await group.WaitUntil(std::move(done));
  source.StopReading();
  const Status status = output->ended ? output->status : reading->status;
  co_await group.Stop();
  if (!status.ok()) co_return status;
  if (!ended) co_return CallerGone();

  Response last;
  if (ended->exit) {
    *last.mutable_exit() = ToProto(*ended->exit);
    co_await sink.Write(std::move(last));
    co_return absl::OkStatus();
  }
  co_return FailedPrecondition(
      "it is not known how sandbox ", ended->id, " ended",
      ended->failure.empty() ? std::string() : StrCat(": ", ended->failure));
}

}  // namespace claw::rpc
