// Images on their way from a host into its guest.

#include "agent/model/json.h"
#include "drivers/guest/image_sender.h"
#include "drivers/image/tree_digest.h"
#include "drivers/image/tree_untar.h"
#include "tests/unit/rpc/guest_fixture.h"

namespace claw::test {
namespace {

class GuestImageFixture : public GuestFixture {
 public:
  GuestImageFixture() : guest(pb::GuestService::NewStub(HostChannel())) {
    std::filesystem::create_directories(rootfs / "bin");
    Write("host/bin/app", std::string(5 << 20, 'x') + "end");
    std::filesystem::create_symlink("app", rootfs / "bin/link");
    image.digest = "sha256:" + std::string(64, 'a');
    image.names = {"docker.io/library/app:1"};
    image.architecture = "arm64";
    image.additional_gids = {7};
    image.labels = {{"a", "b"}};
    image.signers = {"release"};
  }

  StatusOr<Image> Send(const drivers::SendProgress& progress = {}) {
    return drivers::SendImage(*guest, image, rootfs, progress);
  }

  // Sends these and ends the stream.
  grpc::Status Put(const std::vector<pb::PutImageRequest>& parts) {
    Call call;
    pb::Image answer;
    const auto stream = guest->PutImage(&call, &answer);
    for (const pb::PutImageRequest& part : parts) {
      if (!stream->Write(part)) break;
    }
    stream->WritesDone();
    return stream->Finish();
  }
  static pb::PutImageRequest Chunk(const std::string& bytes) {
    pb::PutImageRequest part;
    part.set_chunk(bytes);
    return part;
  }
  static pb::PutImageRequest End(int64_t bytes) {
    pb::PutImageRequest part;
    part.set_end_bytes(bytes);
    return part;
  }
  pb::PutImageRequest Record() const {
    pb::PutImageRequest part;
    part.set_image_record(ToJson(image));
    return part;
  }

  StatusOr<Image> Find() {
    auto find = [this]() -> lifecycle::Task<StatusOr<Image>> {
      co_return node().FindImage(image.digest);
    };
    return Run(find());
  }
  void CheckNothingCame() {
    CHECK(images_on_disk().AwaitIncoming(0));
    CHECK_FALSE(images_on_disk().Received(image.digest));
    CHECK_FALSE(Find().ok());
  }

  const std::filesystem::path rootfs = dir().path() / "host";
  Image image;
  const std::unique_ptr<pb::GuestService::Stub> guest;
};

std::string ReasonOf(const Status& status) {
  return GetErrorDetail(status).value_or(ErrorDetail{}).reason;
}

TEST_CASE_METHOD(GuestImageFixture, "guest images: all of it comes, with its record") {
  std::vector<int64_t> steps;
  const auto sent = Send([&](int64_t bytes) { steps.push_back(bytes); });
  INFO(ToLogString(sent.status()));
  REQUIRE(sent.ok());
  CHECK(*sent == image);
  CHECK(images_on_disk().AwaitIncoming(0));
  const auto found = Find();
  REQUIRE(found.ok());
  CHECK(found->signers == image.signers);
  CHECK(found->additional_gids == image.additional_gids);
  CHECK(found->architecture == "arm64");

  const auto tar = images_on_disk().Received(image.digest);
  REQUIRE(tar);
  CHECK(steps.size() >= 5);
  CHECK(std::is_sorted(steps.begin(), steps.end()));
  CHECK(steps.back() == static_cast<int64_t>(tar->size()));
  const auto copy = dir().path() / "copy";
  std::filesystem::create_directories(copy);
  std::string_view left = *tar;
  const auto next = [&left]() -> StatusOr<std::string_view> { return std::exchange(left, {}); };
  REQUIRE(image::UnpackTree(next, {.max_bytes = kGiB, .max_files = 100, .disk_bytes = kGiB}, copy)
              .ok());
  CHECK(*image::TreeDigest(copy) == *image::TreeDigest(rootfs));

  pb::ListEventsRequest query;
  query.set_subject("images/" + image.digest);
  pb::ListEventsResponse events;
  Call call;
  REQUIRE(pb::EventService::NewStub(HostChannel())->ListEvents(&call, query, &events).ok());
  REQUIRE(events.events_size() == 1);
  CHECK(events.events(0).type() == "image.received");
  CHECK(events.events(0).actor() == "tls:claw://host");

  // Again: it is here, and nobody reads what else there is.
  Write("host/bin/more", std::string(32 << 20, 'y'));
  const auto again = Send();
  INFO(ToLogString(again.status()));
  REQUIRE(again.ok());
  CHECK(*again == image);
  CHECK(images_on_disk().Received(image.digest) == tar);
  CHECK(images_on_disk().AwaitIncoming(0));
  Call second;
  REQUIRE(pb::EventService::NewStub(HostChannel())->ListEvents(&second, query, &events).ok());
  CHECK(events.events_size() == 1);
}

TEST_CASE_METHOD(GuestImageFixture,
                 "guest images: what the store refuses is told, and leaves nothing") {
  images_on_disk().FailWrites(MakeError(StatusCode::kResourceExhausted, "the disk is full",
                                        {.reason = "DISK_FULL",
                                         .constraint = "disk",
                                         .needed = "5 bytes",
                                         .available = "4 bytes",
                                         .retry_after = std::chrono::seconds(60)}));
  const auto sent = Send();
  CHECK(sent.status().code() == StatusCode::kResourceExhausted);
  const auto detail = GetErrorDetail(sent.status());
  REQUIRE(detail);
  CHECK(detail->reason == "DISK_FULL");
  CHECK(detail->needed == "5 bytes");
  CHECK(detail->available == "4 bytes");
  CHECK(detail->retry_after == std::chrono::seconds(60));
  CheckNothingCame();
  images_on_disk().FailWrites(absl::OkStatus());
  CHECK(Send().ok());
}

TEST_CASE_METHOD(GuestImageFixture, "guest images: half of one is none") {
  SECTION("its sender has gone") {
    Call call;
    pb::Image answer;
    const auto stream = guest->PutImage(&call, &answer);
    REQUIRE(stream->Write(Record()));
    REQUIRE(stream->Write(Chunk("abc")));
    REQUIRE(images_on_disk().AwaitIncoming(1));
    call.Cancel();
    CHECK(stream->Finish().error_code() == grpc::CANCELLED);
  }
  SECTION("it ends without an end") {
    CHECK(Put({Record(), Chunk("abc")}).error_code() == grpc::INVALID_ARGUMENT);
  }
  SECTION("something is missing") {
    const grpc::Status status = Put({Record(), Chunk("abc"), End(4)});
    CHECK(ServiceFixture::DetailOf(status).constraint() == "end_bytes");
  }
  SECTION("its host cannot read it") {
    std::filesystem::remove_all(rootfs);
    CHECK(Send().status().code() == StatusCode::kNotFound);
  }
  SECTION("its host finds on the way that it is none") {
    REQUIRE(::mkfifo((rootfs / "zzz").c_str(), 0600) == 0);
    CHECK(ReasonOf(Send().status()) == "CORRUPT_IMAGE");
  }
  CheckNothingCame();
}

TEST_CASE_METHOD(GuestImageFixture, "guest images: streams of another shape") {
  CHECK(Put(std::vector<pb::PutImageRequest>{}).error_code() == grpc::INVALID_ARGUMENT);
  CHECK(Put({Chunk("abc")}).error_code() == grpc::INVALID_ARGUMENT);
  CHECK(Put({pb::PutImageRequest()}).error_code() == grpc::INVALID_ARGUMENT);
  pb::PutImageRequest bad;
  bad.set_image_record("{");
  CHECK(ServiceFixture::DetailOf(Put({bad})).constraint() == "image_record");
  CHECK(Put({Record(), Record()}).error_code() == grpc::INVALID_ARGUMENT);
  const grpc::Status long_chunk = Put({Record(), Chunk(std::string((1 << 20) + 1, 'x'))});
  CHECK(ServiceFixture::DetailOf(long_chunk).constraint() == "chunk");
  CheckNothingCame();
  CHECK(Put({Record(), Chunk("abc"), Chunk("de"), End(5)}).ok());
  CHECK(images_on_disk().Received(image.digest) == "abcde");
}

TEST_CASE_METHOD(ServiceFixture, "guest images: a host takes none") {
  const auto stub = pb::GuestService::NewStub(channel());
  Image image;
  image.digest = "sha256:" + std::string(64, 'a');
  const auto empty = dir().path() / "empty";
  std::filesystem::create_directories(empty);
  const auto sent = drivers::SendImage(*stub, image, empty, {});
  CHECK(sent.status().code() == StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace claw::test
