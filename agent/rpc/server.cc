#include "agent/rpc/server.h"

#include <fcntl.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_posix.h>

#include <vector>

#include "agent/base/joining_thread.h"
#include "agent/rpc/acceptor.h"
#include "agent/rpc/malformed.h"
#include "agent/rpc/services.h"

namespace claw::rpc {
namespace {

constexpr int kMaxMessageBytes = 4 << 20;
// What messages and buffers of all calls may take; beyond it gRPC slows its callers down.
constexpr size_t kMaxBufferBytes = 64 << 20;
// Only reflection takes threads of its own; everything else runs on the strand.
constexpr int kMaxThreads = 4;

class GrpcServer final : public Server {
 public:
  explicit GrpcServer(const Context& context) : strand_(context.strand) {
    services_.push_back(MakeNodeService(context));
    services_.push_back(MakeTenantService(context));
    services_.push_back(MakeSandboxService(context));
    services_.push_back(MakePlacementService(context));
    services_.push_back(MakeNetworkService(context));
    services_.push_back(MakeImageService(context));
    services_.push_back(MakeCompatService(context));
    services_.push_back(MakeEventService(context));
    if (context.role == NodeRole::kHost) services_.push_back(MakeVmService(context));
    if (context.role == NodeRole::kGuest) services_.push_back(MakeGuestService(context));
  }

  Status Listen(const ServerOptions& options) {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::ServerBuilder builder;
    Configure(builder);
    if (options.tls) {
      ASSIGN_OR_RETURN(const auto credentials, MakeServerCredentials(*options.tls));
      builder.AddListeningPort(options.tls->address, credentials, &port_);
    }
    server_ = builder.BuildAndStart();
    // gRPC says no more than that: an address in use, or a certificate that is none.
    if (!server_ && options.tls) {
      return Unavailable(
          "cannot listen on ", options.tls->address,
          ": is it in use, and do server.certificate and server.key belong together?");
    }
    if (!server_) return Internal("cannot make the gRPC server");
    SetServing(true);
    auto give = [this](UniqueFd connection) {
      const int flags = ::fcntl(connection.get(), F_GETFL);
      ::fcntl(connection.get(), F_SETFL, flags | O_NONBLOCK);
      grpc::AddInsecureChannelFromFd(server_.get(), connection.release());
    };
    ASSIGN_OR_RETURN(acceptor_, Acceptor::Listen(strand_, options.socket, std::move(give)));
    return absl::OkStatus();
  }

  int port() const override { return port_; }

  void SetServing(bool serving) override {
    if (server_) server_->GetHealthCheckService()->SetServingStatus(serving);
  }

  void Shutdown(std::chrono::milliseconds grace, std::function<void()> done) override {
    acceptor_->Close();
    shutdown_ = JoiningThread([this, grace, done = std::move(done)] {
      server_->Shutdown(std::chrono::system_clock::now() + grace);
      done();
    });
  }

 private:
  void Configure(grpc::ServerBuilder& builder) {
    grpc::ResourceQuota quota("clawlet");
    quota.Resize(kMaxBufferBytes).SetMaxThreads(kMaxThreads);
    builder.SetResourceQuota(quota);
    builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
    builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
    builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
    builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 1);
    for (const auto& service : services_) builder.RegisterService(service.get());
    std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>>
        interceptors;
    interceptors.push_back(ExplainMalformedRequests());
    builder.experimental().SetInterceptorCreators(std::move(interceptors));
  }

  const asio::any_io_executor strand_;
  std::vector<std::unique_ptr<grpc::Service>> services_;
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<Acceptor> acceptor_;
  int port_ = 0;
  JoiningThread shutdown_;
};

}  // namespace

StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options,
                                                const Context& context) {
  auto server = std::make_unique<GrpcServer>(context);
  RETURN_IF_ERROR(server->Listen(options));
  return server;
}

}  // namespace claw::rpc
