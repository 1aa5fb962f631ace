#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <catch2/catch.hpp>
#include <future>
#include <memory>
#include <string>

#include "agent/rpc/server.h"
#include "claw/node/v1/common.pb.h"
#include "claw/node/v1/compat.grpc.pb.h"
#include "claw/node/v1/event.grpc.pb.h"
#include "claw/node/v1/image.grpc.pb.h"
#include "claw/node/v1/network.grpc.pb.h"
#include "claw/node/v1/node.grpc.pb.h"
#include "claw/node/v1/placement.grpc.pb.h"
#include "claw/node/v1/sandbox.grpc.pb.h"
#include "claw/node/v1/tenant.grpc.pb.h"
#include "claw/node/v1/vm.grpc.pb.h"
#include "tests/unit/rpc/node_fixture.h"

namespace claw::test {

namespace pb = ::claw::node::v1;

// A call that hangs fails its test instead of hanging it.
class Call : public grpc::ClientContext {
 public:
  Call() { set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30)); }
  void Cancel() { TryCancel(); }
};

// A node behind a real socket.
class ServiceFixture : public NodeFixture {
 public:
  explicit ServiceFixture(lifecycle::NodeConfig config = {})
      : NodeFixture(std::move(config)), socket_(dir().path() / "api.sock") {
    Serve();
  }
  ~ServiceFixture() { Shutdown(); }

  void Serve() {
    server_ = *rpc::Server::Start({.socket = socket_, .tls = {}}, context());
    channel_ = grpc::CreateChannel("unix:" + socket_.string(), grpc::InsecureChannelCredentials());
    nodes = pb::NodeService::NewStub(channel_);
    tenants = pb::TenantService::NewStub(channel_);
    images = pb::ImageService::NewStub(channel_);
    sandboxes = pb::SandboxService::NewStub(channel_);
    events = pb::EventService::NewStub(channel_);
    compat = pb::CompatService::NewStub(channel_);
    placement = pb::PlacementService::NewStub(channel_);
    network = pb::NetworkService::NewStub(channel_);
    machines = pb::VmService::NewStub(channel_);
  }

  // In the order in which the agent ends.
  void Restart() {
    Run(node().Drain());
    Shutdown();
    NodeFixture::Restart();
    Serve();
  }

  void Shutdown() {
    if (!server_) return;
    std::promise<void> done;
    server_->Shutdown(std::chrono::seconds(0), [&] { done.set_value(); });
    done.get_future().wait();
    server_.reset();
  }

  static pb::ErrorDetail DetailOf(const grpc::Status& status) {
    pb::RpcStatus details;
    pb::ErrorDetail detail;
    if (!details.ParseFromString(status.error_details()) || details.details_size() < 1 ||
        !details.details(0).UnpackTo(&detail)) {
      return {};
    }
    return detail;
  }

  static std::string ReasonOf(const grpc::Status& status) { return DetailOf(status).reason(); }

  // A tenant "acme" and an image "app" that may run.
  void Prepare(pb::Trust trust = pb::TRUST_UNTRUSTED) {
    pb::CreateOverrideRequest request;
    request.set_image(PrepareUntested(trust));
    request.set_isolation_class(pb::ISOLATION_CLASS_GVISOR);
    request.set_reason("these tests are about something else");
    request.mutable_ttl()->set_seconds(3600);
    pb::Override given;
    Call call;
    REQUIRE(compat->CreateOverride(&call, request, &given).ok());
  }

  // A tenant "acme" and an image "app" that nobody has tested; answers with the image's name.
  std::string PrepareUntested(pb::Trust trust = pb::TRUST_UNTRUSTED) {
    pb::CreateTenantRequest tenant;
    tenant.set_tenant_id("acme");
    tenant.set_trust(trust);
    pb::Tenant made;
    Call call;
    REQUIRE(tenants->CreateTenant(&call, tenant, &made).ok());
    return Import("app").back().image().name();
  }

  // All that an import said; the image, which then has that name, comes last.
  std::vector<pb::ImageProgress> Import(const std::string& reference) {
    pb::ImportImageRequest request;
    request.set_source("rootfs:/" + reference);
    request.set_reference(reference);
    Call call;
    const auto stream = images->ImportImage(&call, request);
    std::vector<pb::ImageProgress> all;
    for (pb::ImageProgress progress; stream->Read(&progress);) all.push_back(progress);
    REQUIRE(stream->Finish().ok());
    REQUIRE(all.back().has_image());
    return all;
  }

  static pb::CreateSandboxRequest Request(const std::string& name = "") {
    pb::CreateSandboxRequest request;
    request.mutable_spec()->set_tenant("tenants/acme");
    request.mutable_spec()->set_image("app");
    request.mutable_spec()->set_display_name(name);
    return request;
  }

  pb::Sandbox Create(const pb::CreateSandboxRequest& request) {
    pb::Sandbox sandbox;
    Call call;
    const grpc::Status status = sandboxes->CreateSandbox(&call, request, &sandbox);
    INFO(status.error_message());
    REQUIRE(status.ok());
    return sandbox;
  }

  grpc::Status TryCreate(const pb::CreateSandboxRequest& request) {
    pb::Sandbox sandbox;
    Call call;
    return sandboxes->CreateSandbox(&call, request, &sandbox);
  }

  pb::Sandbox Get(const std::string& name) {
    pb::GetSandboxRequest request;
    request.set_name(name);
    pb::Sandbox sandbox;
    Call call;
    REQUIRE(sandboxes->GetSandbox(&call, request, &sandbox).ok());
    return sandbox;
  }

  pb::Node GetNode() {
    pb::Node node;
    Call call;
    REQUIRE(nodes->GetNode(&call, {}, &node).ok());
    return node;
  }

  // About a subject, in their order.
  std::vector<pb::Event> EventsOf(const std::string& subject) {
    pb::ListEventsRequest request;
    request.set_subject(subject);
    request.set_page_size(1000);
    pb::ListEventsResponse response;
    Call call;
    REQUIRE(events->ListEvents(&call, request, &response).ok());
    return {response.events().begin(), response.events().end()};
  }

  grpc::Status Delete(const std::string& name) {
    pb::DeleteSandboxRequest request;
    request.set_name(name);
    request.set_force(true);
    google::protobuf::Empty response;
    Call call;
    return sandboxes->DeleteSandbox(&call, request, &response);
  }

  static std::string IdOf(const pb::Sandbox& sandbox) {
    return sandbox.name().substr(std::string("sandboxes/").size());
  }

  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  rpc::Server& server() { return *server_; }

 private:
  std::filesystem::path socket_;
  std::unique_ptr<rpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;

 public:
  std::unique_ptr<pb::NodeService::Stub> nodes;
  std::unique_ptr<pb::TenantService::Stub> tenants;
  std::unique_ptr<pb::ImageService::Stub> images;
  std::unique_ptr<pb::SandboxService::Stub> sandboxes;
  std::unique_ptr<pb::EventService::Stub> events;
  std::unique_ptr<pb::CompatService::Stub> compat;
  std::unique_ptr<pb::PlacementService::Stub> placement;
  std::unique_ptr<pb::NetworkService::Stub> network;
  std::unique_ptr<pb::VmService::Stub> machines;
};

}  // namespace claw::test
