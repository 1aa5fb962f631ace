#include "agent/rpc/malformed.h"

#include <string_view>

#include "agent/rpc/status.h"

namespace claw::rpc {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::Interceptor;
using grpc::experimental::InterceptorBatchMethods;
using grpc::experimental::ServerInterceptorFactoryInterface;
using grpc::experimental::ServerRpcInfo;

class MalformedInterceptor final : public Interceptor {
 public:
  void Intercept(InterceptorBatchMethods* batch) override {
    if (batch->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
      const grpc::Status status = batch->GetSendStatus();
      // Every method of these services is implemented, so nobody else says this.
      if (status.error_code() == grpc::UNIMPLEMENTED && status.error_message().empty()) {
        batch->ModifySendStatus(ToGrpc(MakeError(
            StatusCode::kInvalidArgument,
            "the request cannot be read: a string in it is not UTF-8, or it is another message",
            {.reason = "MALFORMED_REQUEST"})));
      }
    }
    batch->Proceed();
  }
};

class MalformedFactory final : public ServerInterceptorFactoryInterface {
 public:
  Interceptor* CreateServerInterceptor(ServerRpcInfo* info) override {
    // Methods that nobody knows, which rightly are unimplemented, count as two-way streams. Those
    // of ours read their messages themselves.
    const bool ours = std::string_view(info->method()).starts_with("/claw.") &&
                      info->type() != ServerRpcInfo::Type::BIDI_STREAMING;
    // gRPC owns what it is given here.
    return ours ? std::make_unique<MalformedInterceptor>().release() : nullptr;
  }
};

}  // namespace

std::unique_ptr<ServerInterceptorFactoryInterface> ExplainMalformedRequests() {
  return std::make_unique<MalformedFactory>();
}

}  // namespace claw::rpc
