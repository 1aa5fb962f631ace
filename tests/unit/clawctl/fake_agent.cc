#include "tests/unit/clawctl/fake_agent.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>

#include "claw/node/v1/event.grpc.pb.h"
#include "claw/node/v1/image.grpc.pb.h"
#include "claw/node/v1/sandbox.grpc.pb.h"
#include "claw/node/v1/tenant.grpc.pb.h"
#include "tests/unit/clawctl/fake_parts.h"

namespace claw::ctl::testing {
namespace {

using google::protobuf::Empty;
using grpc::ServerContext;
using Lock = std::unique_lock<std::mutex>;

class TenantFake final : public pb::TenantService::Service {
 public:
  explicit TenantFake(FakeState& state) : state_(state) {}

  grpc::Status CreateTenant(ServerContext* /*context*/, const pb::CreateTenantRequest* request,
                            pb::Tenant* response) override {
    const Lock lock(state_.mutex);
    state_.tenant_adds.push_back(*request);
    if (auto refused = Refuse(state_, request->request_id())) return *refused;
    *response = MakeTenant(request->tenant_id(), request->trust());
    state_.tenants.push_back(*response);
    return grpc::Status::OK;
  }
  grpc::Status GetTenant(ServerContext* /*context*/, const pb::GetTenantRequest* request,
                         pb::Tenant* response) override {
    const Lock lock(state_.mutex);
    for (const auto& tenant : state_.tenants) {
      if (tenant.name() != request->name()) continue;
      *response = tenant;
      return grpc::Status::OK;
    }
    return NotThere("tenant");
  }
  grpc::Status ListTenants(ServerContext* /*context*/, const pb::ListTenantsRequest* request,
                           pb::ListTenantsResponse* response) override {
    const Lock lock(state_.mutex);
    response->set_next_page_token(
        Page(state_.tenants, request->page_token(), state_.page_size,
             [&](const pb::Tenant& tenant) { *response->add_tenants() = tenant; }));
    return grpc::Status::OK;
  }
  grpc::Status UpdateTenant(ServerContext* /*context*/, const pb::UpdateTenantRequest* request,
                            pb::Tenant* response) override {
    const Lock lock(state_.mutex);
    state_.tenant_updates.push_back(*request);
    if (auto refused = Refuse(state_, request->request_id())) return *refused;
    *response = request->tenant();
    return grpc::Status::OK;
  }
  grpc::Status DeleteTenant(ServerContext* /*context*/, const pb::DeleteTenantRequest* request,
                            Empty* /*response*/) override {
    const Lock lock(state_.mutex);
    if (auto refused = Refuse(state_, request->request_id())) return *refused;
    const auto gone = std::erase_if(
        state_.tenants, [&](const auto& tenant) { return tenant.name() == request->name(); });
    return gone != 0 ? grpc::Status::OK : NotThere("tenant");
  }

 private:
  FakeState& state_;
};

class ImageFake final : public pb::ImageService::Service {
 public:
  explicit ImageFake(FakeState& state) : state_(state) {}

  grpc::Status PullImage(ServerContext* /*context*/, const pb::PullImageRequest* request,
                         grpc::ServerWriter<pb::ImageProgress>* writer) override {
    const Lock lock(state_.mutex);
    state_.pulls.push_back(*request);
    return Transfer(request->request_id(), writer);
  }
  grpc::Status ImportImage(ServerContext* /*context*/, const pb::ImportImageRequest* request,
                           grpc::ServerWriter<pb::ImageProgress>* writer) override {
    const Lock lock(state_.mutex);
    state_.imports.push_back(*request);
    return Transfer(request->request_id(), writer);
  }
  grpc::Status GetImage(ServerContext* /*context*/, const pb::GetImageRequest* request,
                        pb::Image* response) override {
    const Lock lock(state_.mutex);
    for (const auto& image : state_.images) {
      const auto& names = image.references();
      const bool named = std::any_of(names.begin(), names.end(), [&](const std::string& name) {
        return "images/" + name == request->name();
      });
      if (!named && image.name() != request->name()) continue;
      *response = image;
      return grpc::Status::OK;
    }
    return NotThere("image");
  }
  grpc::Status ListImages(ServerContext* /*context*/, const pb::ListImagesRequest* request,
                          pb::ListImagesResponse* response) override {
    const Lock lock(state_.mutex);
    response->set_next_page_token(
        Page(state_.images, request->page_token(), state_.page_size,
             [&](const pb::Image& image) { *response->add_images() = image; }));
    return grpc::Status::OK;
  }
  grpc::Status DeleteImage(ServerContext* /*context*/, const pb::DeleteImageRequest* request,
                           Empty* /*response*/) override {
    const Lock lock(state_.mutex);
    return Refuse(state_, request->request_id()).value_or(grpc::Status::OK);
  }
  grpc::Status CollectGarbage(ServerContext* /*context*/, const pb::CollectGarbageRequest* request,
                              pb::CollectGarbageResponse* response) override {
    const Lock lock(state_.mutex);
    state_.collections.push_back(*request);
    response->add_removed("images/sha256:00ff");
    response->set_freed_bytes(1536);
    return Refuse(state_, request->request_id()).value_or(grpc::Status::OK);
  }

 private:
  grpc::Status Transfer(const std::string& request_id,
                        grpc::ServerWriter<pb::ImageProgress>* writer) {
    if (auto refused = Refuse(state_, request_id)) return *refused;
    for (const auto& step : state_.progress) writer->Write(step);
    return grpc::Status::OK;
  }

  FakeState& state_;
};

class EventFake final : public pb::EventService::Service {
 public:
  explicit EventFake(FakeState& state) : state_(state) {}

  grpc::Status ListEvents(ServerContext* /*context*/, const pb::ListEventsRequest* request,
                          pb::ListEventsResponse* response) override {
    const Lock lock(state_.mutex);
    std::vector<pb::Event> chosen;
    for (const auto& event : state_.events) {
      if (!request->subject().empty() && event.subject() != request->subject()) continue;
      if (event.revision() > request->after_revision()) chosen.push_back(event);
    }
    response->set_next_page_token(
        Page(chosen, request->page_token(), state_.page_size,
             [&](const pb::Event& event) { *response->add_events() = event; }));
    return grpc::Status::OK;
  }
  grpc::Status WatchEvents(ServerContext* /*context*/, const pb::WatchEventsRequest* request,
                           grpc::ServerWriter<pb::Event>* writer) override {
    const Lock lock(state_.mutex);
    state_.watches.push_back(*request);
    for (const auto& event : state_.events) writer->Write(event);
    return grpc::Status::OK;
  }

 private:
  FakeState& state_;
};

class SandboxFake final : public pb::SandboxService::Service {
 public:
  explicit SandboxFake(FakeState& state) : state_(state) {}

  grpc::Status CreateSandbox(ServerContext* /*context*/, const pb::CreateSandboxRequest* request,
                             pb::Sandbox* response) override {
    const Lock lock(state_.mutex);
    state_.creates.push_back(*request);
    state_.changed.notify_all();
    if (auto refused = Refuse(state_, request->request_id())) return *refused;
    *response =
        MakeSandbox("00112233445566ff", request->spec().display_name(), pb::SANDBOX_STATE_RUNNING);
    if (!request->validate_only()) state_.sandboxes.push_back(*response);
    return grpc::Status::OK;
  }
  grpc::Status GetSandbox(ServerContext* /*context*/, const pb::GetSandboxRequest* request,
                          pb::Sandbox* response) override {
    const Lock lock(state_.mutex);
    return Find(request->name(), response);
  }
  grpc::Status ListSandboxes(ServerContext* /*context*/, const pb::ListSandboxesRequest* request,
                             pb::ListSandboxesResponse* response) override {
    const Lock lock(state_.mutex);
    std::vector<pb::Sandbox> chosen;
    for (const auto& sandbox : state_.sandboxes) {
      if (!request->tenant().empty() && sandbox.spec().tenant() != request->tenant()) continue;
      if (request->active_only() && sandbox.state() != pb::SANDBOX_STATE_RUNNING) continue;
      chosen.push_back(sandbox);
    }
    response->set_next_page_token(
        Page(chosen, request->page_token(), state_.page_size,
             [&](const pb::Sandbox& sandbox) { *response->add_sandboxes() = sandbox; }));
    return grpc::Status::OK;
  }
  grpc::Status StopSandbox(ServerContext* context, const pb::StopSandboxRequest* request,
                           pb::Sandbox* response) override {
    Lock lock(state_.mutex);
    state_.stops.push_back(*request);
    const bool kills = request->has_grace_period() && request->grace_period().seconds() == 0;
    state_.forced = !state_.deaf && (state_.forced || kills || !state_.stubborn);
    ++state_.stops_seen;
    state_.changed.notify_all();
    while (state_.deaf && !context->IsCancelled()) {
      state_.changed.wait_for(lock, std::chrono::milliseconds(20));
    }
    if (auto refused = Refuse(state_, request->request_id())) return *refused;
    return Find(request->name(), response);
  }
  grpc::Status SignalSandbox(ServerContext* /*context*/, const pb::SignalSandboxRequest* request,
                             google::protobuf::Empty* /*response*/) override {
    const Lock lock(state_.mutex);
    state_.signals.push_back(*request);
    if (auto refused = Refuse(state_, request->request_id())) return *refused;
    pb::Sandbox ignored;
    return Find(request->name(), &ignored);
  }
  grpc::Status DeleteSandbox(ServerContext* /*context*/, const pb::DeleteSandboxRequest* request,
                             Empty* /*response*/) override {
    const Lock lock(state_.mutex);
    state_.deletes.push_back(*request);
    if (auto refused = Refuse(state_, request->request_id())) return *refused;
    pb::Sandbox found;
    return Find(request->name(), &found);
  }
  grpc::Status WaitSandbox(ServerContext* /*context*/, const pb::WaitSandboxRequest* request,
                           pb::Sandbox* response) override {
    const Lock lock(state_.mutex);
    return Find(request->name(), response);
  }
  grpc::Status StreamLogs(ServerContext* /*context*/, const pb::StreamLogsRequest* request,
                          grpc::ServerWriter<pb::LogChunk>* writer) override {
    const Lock lock(state_.mutex);
    state_.logs.push_back(*request);
    for (const auto& chunk : state_.output) writer->Write(chunk);
    return grpc::Status::OK;
  }
  grpc::Status AttachSandbox(
      ServerContext* context,
      grpc::ServerReaderWriter<pb::AttachResponse, pb::AttachRequest>* stream) override {
    pb::AttachRequest first;
    stream->Read(&first);
    Lock lock(state_.mutex);
    if (state_.breaks_attach) return {grpc::StatusCode::INTERNAL, "the shim went away"};
    const bool has_input = !state_.creates.empty() && state_.creates.back().spec().stdin_open();
    return Serve(context, stream, has_input, lock);
  }
  grpc::Status ExecSandbox(
      ServerContext* context,
      grpc::ServerReaderWriter<pb::AttachResponse, pb::ExecRequest>* stream) override {
    pb::ExecRequest first;
    stream->Read(&first);
    Lock lock(state_.mutex);
    state_.execs.push_back(first.spec());
    return Serve(context, stream, first.spec().stdin_open(), lock);
  }
  grpc::Status ListSandboxStats(ServerContext* /*context*/,
                                const pb::ListSandboxStatsRequest* /*request*/,
                                pb::ListSandboxStatsResponse* response) override {
    const Lock lock(state_.mutex);
    for (auto& stats : state_.stats) {
      *response->add_stats() = stats;
      // Half a CPU from one look to the next.
      stats.set_cpu_usage_micros(stats.cpu_usage_micros() + 500'000);
      stats.mutable_time()->set_seconds(stats.time().seconds() + 1);
    }
    return grpc::Status::OK;
  }

 private:
  grpc::Status Find(const std::string& name, pb::Sandbox* response) {
    for (const auto& sandbox : state_.sandboxes) {
      const bool same =
          sandbox.name() == name || (!sandbox.spec().display_name().empty() &&
                                     "sandboxes/" + sandbox.spec().display_name() == name);
      if (!same) continue;
      *response = sandbox;
      return grpc::Status::OK;
    }
    return NotThere("sandbox");
  }

  template <typename Request>
  grpc::Status Serve(ServerContext* context,
                     grpc::ServerReaderWriter<pb::AttachResponse, Request>* stream, bool has_input,
                     Lock& lock) {
    pb::AttachResponse response;
    for (const auto& chunk : state_.output) {
      *response.mutable_output() = chunk;
      stream->Write(response);
    }
    Request request;
    lock.unlock();
    while (has_input && stream->Read(&request) && !request.close_stdin()) {
      if (request.has_resize()) {
        const Lock relock(state_.mutex);
        state_.sizes.push_back(request.resize());
        state_.changed.notify_all();
      }
      if (request.stdin_data().empty()) continue;
      if (request.stdin_data().find('\x04') != std::string::npos) break;
      *response.mutable_output() = MakeChunk(pb::LogChunk::STDOUT, request.stdin_data());
      stream->Write(response);
    }
    lock.lock();
    while (state_.runs_until_stopped && !state_.forced && !context->IsCancelled()) {
      state_.changed.wait_for(lock, std::chrono::milliseconds(20));
    }
    response.clear_output();
    *response.mutable_exit() = state_.exit;
    stream->Write(response);
    return grpc::Status::OK;
  }

  FakeState& state_;
};

}  // namespace

struct FakeAgent::Server {
  explicit Server(FakeState& state)
      : node(MakeNodeFake(state)),
        placement(MakePlacementFake(state)),
        network(MakeNetworkFake(state)),
        vm(MakeVmFake(state)),
        tenant(state),
        sandbox(state),
        image(state),
        event(state),
        compat(MakeCompatFake(state)) {}

  std::unique_ptr<grpc::Service> node;
  std::unique_ptr<grpc::Service> placement;
  std::unique_ptr<grpc::Service> network;
  std::unique_ptr<grpc::Service> vm;
  TenantFake tenant;
  SandboxFake sandbox;
  ImageFake image;
  EventFake event;
  std::unique_ptr<grpc::Service> compat;
  std::unique_ptr<grpc::Server> grpc;
};

FakeAgent::FakeAgent(const std::string& socket) : server_(std::make_unique<Server>(state_)) {
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix:" + socket, grpc::InsecureServerCredentials());
  builder.RegisterService(server_->node.get());
  builder.RegisterService(server_->placement.get());
  builder.RegisterService(server_->network.get());
  builder.RegisterService(server_->vm.get());
  builder.RegisterService(&server_->tenant);
  builder.RegisterService(&server_->sandbox);
  builder.RegisterService(&server_->image);
  builder.RegisterService(&server_->event);
  builder.RegisterService(server_->compat.get());
  server_->grpc = builder.BuildAndStart();
}

FakeAgent::~FakeAgent() {
  server_->grpc->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
  server_->grpc->Wait();
}

}  // namespace claw::ctl::testing
