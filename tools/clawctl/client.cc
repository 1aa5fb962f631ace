#include "tools/clawctl/client.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "claw/node/v1/event.grpc.pb.h"
#include "claw/node/v1/image.grpc.pb.h"
#include "claw/node/v1/node.grpc.pb.h"
#include "claw/node/v1/sandbox.grpc.pb.h"
#include "claw/node/v1/tenant.grpc.pb.h"
#include "tools/clawctl/client_impl.h"

namespace claw::ctl {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kDefaultGrace{10'000};

// AttachSandbox and ExecSandbox differ only in the first message.
template <typename Request>
class GrpcProgramStream final : public ProgramStream {
 public:
  using Stream = grpc::ClientReaderWriter<Request, pb::AttachResponse>;

  GrpcProgramStream(std::unique_ptr<grpc::ClientContext> context, std::unique_ptr<Stream> stream,
                    std::string socket, const Request& first)
      : context_(std::move(context)), stream_(std::move(stream)), socket_(std::move(socket)) {
    stream_->Write(first);
  }

  bool Read(pb::AttachResponse* response) override { return stream_->Read(response); }
  bool SendInput(std::string data) override {
    Request request;
    request.set_stdin_data(std::move(data));
    return stream_->Write(request);
  }
  bool CloseInput() override {
    Request request;
    request.set_close_stdin(true);
    return stream_->Write(request);
  }
  bool Resize(const pb::TerminalSize& size) override {
    Request request;
    *request.mutable_resize() = size;
    return stream_->Write(request);
  }
  Status Finish() override { return FromGrpc(stream_->Finish(), socket_); }
  void Cancel() override { context_->TryCancel(); }

 private:
  std::unique_ptr<grpc::ClientContext> context_;  // outlives the stream
  std::unique_ptr<Stream> stream_;
  std::string socket_;
};

}  // namespace

Client::Client(ClientOptions options) : options_(std::move(options)) {}
Client::~Client() = default;

Client::Impl& Client::impl() {
  if (!impl_) impl_ = std::make_unique<Impl>(options_);
  return *impl_;
}

void Client::CancelCalls() { impl().calls.CancelAll(); }

StatusOr<pb::Node> Client::GetNode() {
  return CLAW_UNARY(NodeService, GetNode, pb::GetNodeRequest());
}

StatusOr<pb::Budget> Client::GetBudget(const pb::GetBudgetRequest& request) {
  return CLAW_UNARY(NodeService, GetBudget, request);
}

StatusOr<pb::CapacityPlan> Client::PlanCapacity(const pb::PlanCapacityRequest& request) {
  return CLAW_UNARY(NodeService, PlanCapacity, request);
}

StatusOr<pb::CheckNodeResponse> Client::CheckNode() {
  return CLAW_UNARY(NodeService, CheckNode, pb::CheckNodeRequest());
}

StatusOr<pb::Tenant> Client::CreateTenant(pb::CreateTenantRequest request) {
  SetRequestId(request);
  return CLAW_UNARY(TenantService, CreateTenant, request);
}

StatusOr<pb::Tenant> Client::GetTenant(const std::string& name) {
  pb::GetTenantRequest request;
  request.set_name(name);
  return CLAW_UNARY(TenantService, GetTenant, request);
}

StatusOr<std::vector<pb::Tenant>> Client::ListTenants() {
  pb::ListTenantsRequest request;
  request.set_page_size(kPageSize);
  std::vector<pb::Tenant> tenants;
  do {
    ASSIGN_OR_RETURN(pb::ListTenantsResponse page, CLAW_UNARY(TenantService, ListTenants, request));
    std::move(page.mutable_tenants()->begin(), page.mutable_tenants()->end(),
              std::back_inserter(tenants));
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return tenants;
}

StatusOr<pb::Tenant> Client::UpdateTenant(pb::UpdateTenantRequest request) {
  SetRequestId(request);
  return CLAW_UNARY(TenantService, UpdateTenant, request);
}

Status Client::DeleteTenant(pb::DeleteTenantRequest request) {
  SetRequestId(request);
  return CLAW_UNARY(TenantService, DeleteTenant, request).status();
}

StatusOr<pb::Sandbox> Client::CreateSandbox(pb::CreateSandboxRequest request) {
  SetRequestId(request);
  return CLAW_UNARY(SandboxService, CreateSandbox, request);
}

StatusOr<pb::Sandbox> Client::GetSandbox(const std::string& name) {
  pb::GetSandboxRequest request;
  request.set_name(name);
  return CLAW_UNARY(SandboxService, GetSandbox, request);
}

StatusOr<std::vector<pb::Sandbox>> Client::ListSandboxes(const std::string& tenant,
                                                         bool active_only) {
  pb::ListSandboxesRequest request;
  request.set_page_size(kPageSize);
  request.set_tenant(tenant);
  request.set_active_only(active_only);
  std::vector<pb::Sandbox> sandboxes;
  do {
    ASSIGN_OR_RETURN(pb::ListSandboxesResponse page,
                     CLAW_UNARY(SandboxService, ListSandboxes, request));
    std::move(page.mutable_sandboxes()->begin(), page.mutable_sandboxes()->end(),
              std::back_inserter(sandboxes));
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return sandboxes;
}

StatusOr<pb::Sandbox> Client::StopSandbox(pb::StopSandboxRequest request) {
  SetRequestId(request);
  // It answers when the program has ended, and that may take the whole grace period.
  const milliseconds grace = request.has_grace_period()
                                 ? milliseconds(request.grace_period().seconds() * 1000 +
                                                request.grace_period().nanos() / 1'000'000)
                                 : kDefaultGrace;
  const milliseconds timeout =
      options_.timeout.count() == 0 ? milliseconds(0) : options_.timeout + grace;
  return impl().Unary<pb::SandboxService>("StopSandbox", &pb::SandboxService::Stub::StopSandbox,
                                          request, impl().After(timeout));
}

Status Client::SignalSandbox(pb::SignalSandboxRequest request) {
  SetRequestId(request);
  return CLAW_UNARY(SandboxService, SignalSandbox, request).status();
}

Status Client::DeleteSandbox(pb::DeleteSandboxRequest request) {
  SetRequestId(request);
  return CLAW_UNARY(SandboxService, DeleteSandbox, request).status();
}

StatusOr<pb::Sandbox> Client::WaitSandbox(const std::string& name) {
  pb::WaitSandboxRequest request;
  request.set_name(name);
  return impl().Unary<pb::SandboxService>("WaitSandbox", &pb::SandboxService::Stub::WaitSandbox,
                                          request, impl().StreamDeadline());
}

StatusOr<std::vector<pb::SandboxStats>> Client::ListSandboxStats(const std::string& name) {
  pb::ListSandboxStatsRequest request;
  request.set_name(name);
  ASSIGN_OR_RETURN(const pb::ListSandboxStatsResponse response,
                   CLAW_UNARY(SandboxService, ListSandboxStats, request));
  return std::vector<pb::SandboxStats>(response.stats().begin(), response.stats().end());
}

Status Client::StreamLogs(const pb::StreamLogsRequest& request,
                          const std::function<void(const pb::LogChunk&)>& on_chunk) {
  const auto stub = pb::SandboxService::NewStub(impl().channel);
  return impl().ServerStream<pb::LogChunk>(
      "StreamLogs", false,
      [&](grpc::ClientContext* context) { return stub->StreamLogs(context, request); }, on_chunk);
}

std::unique_ptr<ProgramStream> Client::Attach(const std::string& name) {
  pb::AttachRequest first;
  first.set_name(name);
  auto context = std::make_unique<grpc::ClientContext>();
  auto stream = pb::SandboxService::NewStub(impl().channel)->AttachSandbox(context.get());
  return std::make_unique<GrpcProgramStream<pb::AttachRequest>>(
      std::move(context), std::move(stream), options_.socket, first);
}

std::unique_ptr<ProgramStream> Client::Exec(const pb::ExecSpec& spec) {
  pb::ExecRequest first;
  *first.mutable_spec() = spec;
  auto context = std::make_unique<grpc::ClientContext>();
  auto stream = pb::SandboxService::NewStub(impl().channel)->ExecSandbox(context.get());
  return std::make_unique<GrpcProgramStream<pb::ExecRequest>>(std::move(context), std::move(stream),
                                                              options_.socket, first);
}

StatusOr<std::vector<pb::Image>> Client::PullImage(pb::PullImageRequest request,
                                                   const OnProgress& on_progress) {
  SetRequestId(request);
  const auto stub = pb::ImageService::NewStub(impl().channel);
  return impl().ImageStream(
      "PullImage", [&](grpc::ClientContext* context) { return stub->PullImage(context, request); },
      on_progress);
}

StatusOr<std::vector<pb::Image>> Client::ImportImage(pb::ImportImageRequest request,
                                                     const OnProgress& on_progress) {
  SetRequestId(request);
  const auto stub = pb::ImageService::NewStub(impl().channel);
  return impl().ImageStream(
      "ImportImage",
      [&](grpc::ClientContext* context) { return stub->ImportImage(context, request); },
      on_progress);
}

StatusOr<pb::Image> Client::GetImage(const std::string& name) {
  pb::GetImageRequest request;
  request.set_name(name);
  return CLAW_UNARY(ImageService, GetImage, request);
}

StatusOr<std::vector<pb::Image>> Client::ListImages() {
  pb::ListImagesRequest request;
  request.set_page_size(kPageSize);
  std::vector<pb::Image> images;
  do {
    ASSIGN_OR_RETURN(pb::ListImagesResponse page, CLAW_UNARY(ImageService, ListImages, request));
    std::move(page.mutable_images()->begin(), page.mutable_images()->end(),
              std::back_inserter(images));
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return images;
}

Status Client::DeleteImage(pb::DeleteImageRequest request) {
  SetRequestId(request);
  return CLAW_UNARY(ImageService, DeleteImage, request).status();
}

StatusOr<pb::CollectGarbageResponse> Client::CollectGarbage(pb::CollectGarbageRequest request) {
  SetRequestId(request);
  return CLAW_UNARY(ImageService, CollectGarbage, request);
}

StatusOr<std::vector<pb::Event>> Client::ListEvents(const std::string& subject,
                                                    int64_t after_revision) {
  pb::ListEventsRequest request;
  request.set_page_size(kPageSize);
  request.set_subject(subject);
  request.set_after_revision(after_revision);
  std::vector<pb::Event> events;
  do {
    ASSIGN_OR_RETURN(pb::ListEventsResponse page, CLAW_UNARY(EventService, ListEvents, request));
    std::move(page.mutable_events()->begin(), page.mutable_events()->end(),
              std::back_inserter(events));
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return events;
}

Status Client::WatchEvents(const pb::WatchEventsRequest& request,
                           const std::function<void(const pb::Event&)>& on_event) {
  const auto stub = pb::EventService::NewStub(impl().channel);
  return impl().ServerStream<pb::Event>(
      "WatchEvents", false,
      [&](grpc::ClientContext* context) { return stub->WatchEvents(context, request); }, on_event);
}

struct Client::Tail::State {
  std::mutex mutex;
  std::condition_variable changed;
  bool over = false;
  grpc::ClientContext context;
  std::thread thread;
};

Client::Tail::Tail(Client& client, milliseconds after,
                   std::function<void(const pb::Event&)> on_event)
    : state_(std::make_unique<State>()) {
  auto read = [state = state_.get(), channel = client.impl().channel, after,
               on_event = std::move(on_event)] {
    {
      std::unique_lock lock(state->mutex);
      if (state->changed.wait_for(lock, after, [state] { return state->over; })) return;
    }
    const auto stub = pb::EventService::NewStub(channel);
    pb::WatchEventsRequest request;
    request.set_resume_revision(-1);
    const auto stream = stub->WatchEvents(&state->context, request);
    pb::Event event;
    while (stream->Read(&event)) on_event(event);
    stream->Finish();
  };
  state_->thread = std::thread(std::move(read));
}

Client::Tail::~Tail() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->over = true;
  }
  state_->changed.notify_all();
  state_->context.TryCancel();
  state_->thread.join();
}

}  // namespace claw::ctl
