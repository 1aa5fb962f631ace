#pragma once

// What the files of Client share. Sees gRPC, as rpc.h does; only client*.cc include it.

#include <chrono>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "agent/base/id.h"
#include "tools/clawctl/client.h"
#include "tools/clawctl/rpc.h"

namespace claw::ctl {

constexpr int kPageSize = 500;

// Set once for all attempts, so that a retry has no second effect.
template <typename Request>
void SetRequestId(Request& request) {
  if (request.request_id().empty()) request.set_request_id("clawctl-" + RandomHex(32));
}

struct Client::Impl {
  explicit Impl(const ClientOptions& client_options)
      : options(client_options), channel(MakeChannel(client_options.socket)) {}

  [[nodiscard]] std::optional<SteadyTime> After(std::chrono::milliseconds timeout) const {
    if (timeout.count() <= 0) return std::nullopt;
    return std::chrono::steady_clock::now() + timeout;
  }
  [[nodiscard]] std::optional<SteadyTime> StreamDeadline() const {
    return After(options.timeout_is_explicit ? options.timeout : std::chrono::milliseconds(0));
  }

  // One stub's call with one answer.
  template <typename Service, typename Stub, typename Request, typename Response>
  StatusOr<Response> Unary(std::string_view name,
                           grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                        Response*),
                           const Request& request, std::optional<SteadyTime> deadline) {
    const auto stub = Service::NewStub(channel);
    Response response;
    RETURN_IF_ERROR(WithRetries(options, calls, name, deadline, [&](grpc::ClientContext& context) {
      return (stub.get()->*method)(&context, request, &response);
    }));
    return response;
  }

  // A stream of answers. Sent again only as long as nothing has come, or `restartable`.
  template <typename Message, typename Start>
  Status ServerStream(std::string_view name, bool restartable, const Start& start,
                      const std::function<void(const Message&)>& on_message) {
    bool any = false;
    Status broken;
    const Status status =
        WithRetries(options, calls, name, StreamDeadline(), [&](grpc::ClientContext& context) {
          const auto reader = start(&context);
          Message message;
          while (reader->Read(&message)) {
            any = true;
            on_message(message);
          }
          const grpc::Status end = reader->Finish();
          if (end.ok() || !any || restartable) return end;
          broken = FromGrpc(end, options.socket);
          return grpc::Status::OK;
        });
    return status.ok() ? broken : status;
  }

  template <typename Start>
  StatusOr<std::vector<pb::Image>> ImageStream(std::string_view name, const Start& start,
                                               const OnProgress& on_progress) {
    std::vector<pb::Image> images;
    RETURN_IF_ERROR(
        ServerStream<pb::ImageProgress>(name, true, start, [&](const pb::ImageProgress& progress) {
          on_progress(progress);
          if (progress.has_image()) images = {progress.image()};  // of an agent that knows of one
          if (progress.images_size() > 0) {
            images = {progress.images().begin(), progress.images().end()};
          }
        }));
    if (images.empty()) return Internal("the agent ended the transfer without naming the image");
    return images;
  }

  const ClientOptions& options;
  Calls calls;
  std::shared_ptr<grpc::Channel> channel;
};

// The stub's method for Unary, its name for traces, and the usual deadline.
#define CLAW_UNARY(service, method, request)                              \
  impl().Unary<pb::service>(#method, &pb::service::Stub::method, request, \
                            impl().After(options_.timeout))

}  // namespace claw::ctl
