#include <atomic>
#include <deque>

#include "agent/rpc/convert.h"
#include "agent/rpc/names.h"
#include "agent/rpc/page.h"
#include "agent/rpc/reactors.h"
#include "agent/rpc/services.h"
#include "agent/rpc/task_group.h"
#include "claw/node/v1/image.grpc.pb.h"

namespace claw::rpc {
namespace {

using google::protobuf::Empty;

// Brings progress from a thread of the pool to the strand. What is not sent yet is replaced by what
// comes after it in the same phase; too much at once is dropped.
class ProgressRelay : public std::enable_shared_from_this<ProgressRelay> {
 public:
  explicit ProgressRelay(const asio::any_io_executor& strand) : strand_(strand), changed_(strand) {}

  // For any thread.
  image::Progress Callback() {
    return [self = shared_from_this()](std::string_view phase, std::string_view message) {
      self->Post(phase, message);
    };
  }

  Task<Status> Forward(Sink<pb::ImageProgress>& sink) {
    for (;;) {
      const bool cancelled = co_await lifecycle::IsCancelled();
      if (cancelled) break;
      if (waiting_.empty()) {
        co_await changed_.Wait();
        continue;
      }
      pb::ImageProgress next = std::move(waiting_.front());
      waiting_.pop_front();
      const bool taken = co_await sink.Write(std::move(next));
      if (!taken) break;
    }
    co_return absl::OkStatus();
  }

 private:
  static constexpr int kMaxPosted = 16;
  static constexpr size_t kMaxWaiting = 16;

  void Post(std::string_view phase, std::string_view message) {
    if (posted_.fetch_add(1) >= kMaxPosted) {
      posted_.fetch_sub(1);
      return;
    }
    pb::ImageProgress progress;
    progress.set_phase(std::string(phase));
    progress.set_message(std::string(message));
    asio::post(strand_, [self = shared_from_this(), progress = std::move(progress)]() mutable {
      self->posted_.fetch_sub(1);
      self->Queue(std::move(progress));
    });
  }

  void Queue(pb::ImageProgress progress) {
    if (!waiting_.empty() && waiting_.back().phase() == progress.phase()) waiting_.pop_back();
    if (waiting_.size() == kMaxWaiting) waiting_.pop_front();
    waiting_.push_back(std::move(progress));
    changed_.NotifyAll();
  }

  const asio::any_io_executor strand_;
  lifecycle::Notifier changed_;
  std::deque<pb::ImageProgress> waiting_;
  std::atomic<int> posted_ = 0;
};

pb::Image Show(const Context& context, const Image& image) {
  return ToProto(image, context.node.CountImageUsers(image.digest));
}

// The common part of pull and import: `fetch` starts the work with a callback for its progress.
Task<Status> Fetch(const Context& context, Sink<pb::ImageProgress>& sink,
                   std::function<Task<StatusOr<lifecycle::Images>>(image::Progress)> fetch) {
  const auto relay = std::make_shared<ProgressRelay>(context.strand);
  TaskGroup group(context.strand);
  group.Spawn([&] { return relay->Forward(sink); });
  auto images = co_await fetch(relay->Callback());
  co_await group.Stop();
  if (!images.ok()) co_return images.status();
  pb::ImageProgress last;
  last.set_phase("done");
  for (const Image& image : *images) *last.add_images() = Show(context, image);
  *last.mutable_image() = last.images(0);
  co_await sink.Write(std::move(last));
  co_return absl::OkStatus();
}

Task<Status> PullImage(const Context& context, const pb::PullImageRequest& request,
                       const std::string& actor, Sink<pb::ImageProgress>& sink) {
  CO_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  if (request.reference().empty()) co_return BadField("reference", "is missing");
  CO_ASSIGN_OR_RETURN(const auto platforms, ParsePlatforms("platforms", request.platforms()));
  auto fetch = [&](image::Progress progress) {
    return context.node.PullImage(MakeCall(request, actor), request.reference(), request.insecure(),
                                  request.signer(), platforms, std::move(progress));
  };
  co_return co_await Fetch(context, sink, std::move(fetch));
}

Task<Status> ImportImage(const Context& context, const pb::ImportImageRequest& request,
                         const std::string& actor, Sink<pb::ImageProgress>& sink) {
  CO_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  if (request.source().empty()) co_return BadField("source", "is missing");
  CO_ASSIGN_OR_RETURN(const auto platforms, ParsePlatforms("platforms", request.platforms()));
  auto fetch = [&](image::Progress progress) {
    return context.node.ImportImage(MakeCall(request, actor), request.source(), request.reference(),
                                    request.signer(), platforms, std::move(progress));
  };
  co_return co_await Fetch(context, sink, std::move(fetch));
}

Task<StatusOr<pb::Image>> GetImage(const Context& context, const pb::GetImageRequest& request) {
  CO_ASSIGN_OR_RETURN(const std::string name, ParseImageName("name", request.name()));
  CO_ASSIGN_OR_RETURN(const Image image, context.node.FindImage(name));
  co_return Show(context, image);
}

Task<StatusOr<pb::ListImagesResponse>> ListImages(const Context& context,
                                                  const pb::ListImagesRequest& request) {
  const std::vector<Image> images = context.node.ListImages();
  const auto key_of = [](const Image& image) { return image.digest; };
  const auto add = [&context](const Image& image, pb::ListImagesResponse& response) {
    *response.add_images() = Show(context, image);
  };
  co_return RespondPage<pb::ListImagesResponse>("images", images, key_of, request, add);
}

Task<StatusOr<Empty>> DeleteImage(const Context& context, const pb::DeleteImageRequest& request,
                                  const std::string& actor) {
  CO_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  CO_ASSIGN_OR_RETURN(const std::string name, ParseImageName("name", request.name()));
  const Status status =
      co_await context.node.DeleteImage(MakeCall(request, actor), name, request.allow_missing());
  if (!status.ok()) co_return status;
  co_return Empty();
}

Task<StatusOr<pb::CollectGarbageResponse>> CollectGarbage(const Context& context,
                                                          const pb::CollectGarbageRequest& request,
                                                          const std::string& actor) {
  CO_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  const auto garbage = co_await context.node.CollectImages(MakeCall(request, actor), request.all(),
                                                           request.validate_only());
  if (!garbage.ok()) co_return garbage.status();
  pb::CollectGarbageResponse response;
  for (const std::string& digest : garbage->digests) {
    response.add_removed(StrCat("images/", digest));
  }
  response.set_freed_bytes(garbage->freed_bytes);
  co_return response;
}

using CallContext = grpc::CallbackServerContext;
using enum WhenCallerLeaves;

class ImageService final : public pb::ImageService::CallbackService {
 public:
  explicit ImageService(const Context& context) : context_(context) {}

  grpc::ServerWriteReactor<pb::ImageProgress>* PullImage(
      CallContext* call, const pb::PullImageRequest* request) override {
    return ChangeStream(context_, *call, request, rpc::PullImage);
  }
  grpc::ServerWriteReactor<pb::ImageProgress>* ImportImage(
      CallContext* call, const pb::ImportImageRequest* request) override {
    return ChangeStream(context_, *call, request, rpc::ImportImage);
  }
  grpc::ServerUnaryReactor* GetImage(CallContext* /*call*/, const pb::GetImageRequest* request,
                                     pb::Image* response) override {
    return Unary(context_, kCancel, request, response, rpc::GetImage);
  }
  grpc::ServerUnaryReactor* ListImages(CallContext* /*call*/, const pb::ListImagesRequest* request,
                                       pb::ListImagesResponse* response) override {
    return Unary(context_, kCancel, request, response, rpc::ListImages);
  }
  grpc::ServerUnaryReactor* DeleteImage(CallContext* call, const pb::DeleteImageRequest* request,
                                        Empty* response) override {
    return Change(context_, *call, request, response, rpc::DeleteImage);
  }
  grpc::ServerUnaryReactor* CollectGarbage(CallContext* call,
                                           const pb::CollectGarbageRequest* request,
                                           pb::CollectGarbageResponse* response) override {
    return Change(context_, *call, request, response, rpc::CollectGarbage);
  }

 private:
  const Context& context_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeImageService(const Context& context) {
  return std::make_unique<ImageService>(context);
}

}  // namespace claw::rpc
