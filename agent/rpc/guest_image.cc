#include "agent/rpc/guest_image.h"

#include <memory>
#include <optional>
#include <utility>

#include "agent/model/json.h"
#include "agent/rpc/convert.h"
#include "agent/rpc/names.h"

namespace claw::rpc {
namespace {

using IncomingPtr = std::shared_ptr<image::Incoming>;

constexpr size_t kMaxChunkBytes = 1 << 20;

StatusOr<Image> RecordOf(const std::optional<pb::PutImageRequest>& first) {
  if (!first || !first->has_image_record()) {
    return InvalidArgument("the first message has to say which image it is");
  }
  StatusOr<Image> record = ImageFromJson(first->image_record());
  if (record.ok()) return record;
  return BadField("image_record", StrCat("is none: ", ToStd(record.status().message())));
}

// All calls of the store are made on the pool; the next message is read when it has used up the one
// before.
Task<Status> TakeChunks(const Context& context, Source<pb::PutImageRequest>& source,
                        IncomingPtr incoming) {
  int64_t taken = 0;
  for (;;) {
    std::optional<pb::PutImageRequest> next = co_await source.Read();
    const bool cancelled = co_await lifecycle::IsCancelled();
    if (cancelled) co_return CallerGone();
    if (!next) co_return InvalidArgument("the stream ended before the image did");
    if (next->has_end_bytes()) {
      if (next->end_bytes() == taken) co_return absl::OkStatus();
      co_return BadField("end_bytes",
                         StrCat("is ", next->end_bytes(), ", but ", taken, " bytes came"));
    }
    if (!next->has_chunk()) co_return InvalidArgument("behind the first message only chunks come");
    if (next->chunk().size() > kMaxChunkBytes) {
      co_return BadField("chunk", StrCat("is longer than ", kMaxChunkBytes, " bytes"));
    }
    taken += static_cast<int64_t>(next->chunk().size());
    auto write = [incoming, chunk = std::move(*next->mutable_chunk())] {
      return incoming->Write(chunk);
    };
    CO_RETURN_IF_ERROR(co_await context.pool.Run(std::move(write)));
  }
}

Task<StatusOr<Image>> Take(const Context& context, Source<pb::PutImageRequest>& source,
                           IncomingPtr incoming, std::string actor) {
  if (!incoming->already_there()) {
    CO_RETURN_IF_ERROR(co_await TakeChunks(context, source, incoming));
  }
  auto finish = [incoming] { return incoming->Finish(); };
  CO_ASSIGN_OR_RETURN(Image image, co_await context.pool.Run(std::move(finish)));
  lifecycle::Call call;
  call.actor = std::move(actor);
  co_return co_await context.node.AddReceivedImage(std::move(call), std::move(image));
}

}  // namespace

Task<StatusOr<pb::Image>> PutImage(const Context& context, Source<pb::PutImageRequest>& source,
                                   const std::string& actor) {
  const std::optional<pb::PutImageRequest> first = co_await source.Read();
  CO_ASSIGN_OR_RETURN(const Image record, RecordOf(first));
  auto open = [&images = *context.guest.images, record] { return images.Receive(record); };
  auto opened = co_await context.pool.Run(std::move(open));
  if (!opened.ok()) co_return opened.status();
  IncomingPtr incoming = *std::move(opened);
  StatusOr<Image> image = co_await Take(context, source, incoming, actor);
  source.StopReading();
  // The last reference goes on the pool: to remove what was left half-made takes time.
  auto close = [held = std::move(incoming)]() mutable {
    held.reset();
    return absl::OkStatus();
  };
  const Status closed = co_await context.pool.Run(std::move(close));
  closed.IgnoreError();
  if (!image.ok()) co_return image.status();
  co_return ToProto(*image, context.node.CountImageUsers(image->digest));
}

}  // namespace claw::rpc
