#include "drivers/guest/image_sender.h"

#include <grpcpp/client_context.h>

#include "agent/base/clock.h"
#include "agent/model/json.h"
#include "drivers/guest/guest_client.h"
#include "drivers/image/tree_tar.h"

namespace claw::drivers {
namespace {

// A guest that takes longer for it will not come to an end.
constexpr std::chrono::minutes kLongestTransfer(30);
constexpr size_t kChunkBytes = 1 << 20;

template <typename Repeated>
std::vector<std::string> Strings(const Repeated& repeated) {
  return {repeated.begin(), repeated.end()};
}

// What the API shows of an image is all of it but the groups, which stay as they were sent.
Image FromProto(const pb::Image& shown, const Image& sent) {
  Image image = sent;
  image.names = Strings(shown.references());
  image.signers = Strings(shown.signers());
  image.size_bytes = shown.size_bytes();
  image.dropped_device_nodes = shown.dropped_device_nodes();
  image.cleared_setuid_bits = shown.cleared_setuid_bits();
  image.created_at =
      FromMicros(shown.create_time().seconds() * 1'000'000 + shown.create_time().nanos() / 1000);
  return image;
}

// The tar in messages of the size that the guest takes. False from the stream's Write: the guest
// has answered and takes no more.
class ChunkWriter {
 public:
  ChunkWriter(grpc::ClientWriterInterface<pb::PutImageRequest>& stream,
              const SendProgress& progress)
      : stream_(stream), progress_(progress) {}

  Status Take(std::string_view bytes) {
    while (!bytes.empty()) {
      const std::string_view part = bytes.substr(0, kChunkBytes);
      pb::PutImageRequest request;
      request.set_chunk(part.data(), part.size());
      if (!stream_.Write(request)) {
        answered_ = true;
        return MakeError(StatusCode::kCancelled, "the guest takes no more");
      }
      bytes.remove_prefix(part.size());
      sent_bytes_ += static_cast<int64_t>(part.size());
      if (progress_) progress_(sent_bytes_);
    }
    return absl::OkStatus();
  }

  [[nodiscard]] bool answered() const { return answered_; }
  [[nodiscard]] int64_t sent_bytes() const { return sent_bytes_; }

 private:
  grpc::ClientWriterInterface<pb::PutImageRequest>& stream_;
  const SendProgress& progress_;
  int64_t sent_bytes_ = 0;
  bool answered_ = false;
};

}  // namespace

StatusOr<Image> SendImage(pb::GuestService::StubInterface& guest, const Image& image,
                          const std::filesystem::path& rootfs, const SendProgress& progress) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kLongestTransfer);
  pb::Image answer;
  const auto stream = guest.PutImage(&context, &answer);
  pb::PutImageRequest request;
  request.set_image_record(ToJson(image));
  if (stream->Write(request)) {
    ChunkWriter writer(*stream, progress);
    const Status written =
        image::WriteTree(rootfs, [&](std::string_view bytes) { return writer.Take(bytes); });
    if (!written.ok() && !writer.answered()) {
      // Half an image must not look like all of it.
      context.TryCancel();
      stream->Finish().error_code();
      return Annotate(written, "send an image to the guest");
    }
    if (written.ok()) {
      request.set_end_bytes(writer.sent_bytes());
      stream->Write(request);
    }
  }
  stream->WritesDone();
  RETURN_IF_ERROR(
      FromGuest(stream->Finish(), StrCat("send image ", image.digest, " to the guest")));
  return FromProto(answer, image);
}

}  // namespace claw::drivers
