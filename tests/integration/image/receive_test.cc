// Images that come out of another store, as they do into a guest.

#include <unistd.h>

#include "drivers/image/tree_digest.h"
#include "drivers/image/tree_tar.h"
#include "tests/integration/image/small_disk.h"
#include "tests/integration/image/store_fixture.h"

namespace claw::image {
namespace {

namespace fs = std::filesystem;

// An image as its host has it.
class Sender {
 public:
  Sender() {
    test::ImageSpec spec = test::BusyboxImage();
    spec.architecture = "arm64";
    spec.process_json = R"({"Entrypoint":["/bin/sh"],"Env":["A=b"],"Labels":{"a":"b"}})";
    spec.layers.push_back({.entries = {{.name = "big", .content = Noise(3 << 20)}}});
    test::WriteOciLayout(store_.work() / "layout", spec);
    const auto made =
        store_.Import("oci:" + (store_.work() / "layout").string() + ":v1", "app:1", "", "arm64");
    REQUIRE_OK(made.status());
    image = *made;
    image.signers = {"release"};
  }

  [[nodiscard]] fs::path Rootfs() { return store_.store().RootfsPath(image.digest); }
  std::string Tar() {
    std::string tar;
    REQUIRE_OK(WriteTree(Rootfs(), [&tar](std::string_view bytes) {
      tar += bytes;
      return absl::OkStatus();
    }));
    return tar;
  }

  Image image;

 private:
  StoreFixture store_;
};

std::unique_ptr<Incoming> Begin(StoreFixture& fixture, const Image& image) {
  auto incoming = fixture.store().Receive(image);
  REQUIRE_OK(incoming.status());
  return *std::move(incoming);
}

StatusOr<Image> Send(StoreFixture& fixture, const Image& image, std::string_view tar) {
  const auto incoming = Begin(fixture, image);
  for (size_t at = 0; at < tar.size(); at += 100'000) {
    RETURN_IF_ERROR(incoming->Write(tar.substr(at, 100'000)));
  }
  return incoming->Finish();
}

TEST_CASE("an image from another store is the same here, with its names and its signers") {
  Sender sender;
  StoreFixture fixture;
  const auto image = Send(fixture, sender.image, sender.Tar());
  REQUIRE_OK(image.status());
  Image expected = sender.image;
  expected.created_at = image->created_at;
  expected.size_bytes = image->size_bytes;
  CHECK(*image == expected);
  CHECK(image->created_at >= sender.image.created_at);
  CHECK(image->size_bytes > 3 << 20);
  CHECK(*TreeDigest(fixture.store().RootfsPath(image->digest)) == *TreeDigest(sender.Rootfs()));
  CHECK(fixture.TmpIsEmpty());
  fixture.Reopen();
  const auto scan = fixture.store().ScanDisk();
  REQUIRE_OK(scan.status());
  CHECK(scan->images == std::vector<Image>{*image});

  // Again: nothing is unpacked, and it learns what it has not known.
  Image more = sender.image;
  more.names = {"docker.io/library/app:2"};
  more.signers = {"other"};
  const auto again = Begin(fixture, more);
  CHECK(again->already_there());
  CHECK(fixture.TmpIsEmpty());
  CHECK(again->Write("what nobody reads").ok());
  const auto merged = again->Finish();
  REQUIRE_OK(merged.status());
  CHECK(merged->names ==
        std::vector<std::string>{"docker.io/library/app:1", "docker.io/library/app:2"});
  CHECK(merged->signers == std::vector<std::string>{"release", "other"});
}

TEST_CASE("two that send one image make one") {
  Sender sender;
  StoreFixture fixture;
  const std::string tar = sender.Tar();
  const auto first = Begin(fixture, sender.image);
  const auto second = Begin(fixture, sender.image);
  REQUIRE_OK(first->Write(tar));
  REQUIRE_OK(second->Write(tar));
  const auto one = first->Finish();
  REQUIRE_OK(one.status());
  const auto other = second->Finish();
  REQUIRE_OK(other.status());
  CHECK(*one == *other);
  CHECK(fixture.CountImages() == 1);
}

TEST_CASE("whoever gives up leaves nothing, wherever it was") {
  Sender sender;
  StoreFixture fixture;
  const std::string tar = sender.Tar();
  for (const size_t sent : {size_t{0}, size_t{1}, size_t{700}, tar.size() / 2, tar.size()}) {
    CAPTURE(sent);
    {
      const auto incoming = Begin(fixture, sender.image);
      CHECK_FALSE(incoming->already_there());
      REQUIRE_OK(incoming->Write(std::string_view(tar).substr(0, sent)));
    }
    fixture.CheckNothingLeft();
  }
  // What is cut off is no image, whatever its sender says.
  for (const size_t sent : {size_t{0}, size_t{700}, tar.size() / 2}) {
    CAPTURE(sent);
    const auto image = Send(fixture, sender.image, std::string_view(tar).substr(0, sent));
    CHECK(ReasonOf(image.status()) == "CORRUPT_IMAGE");
    fixture.CheckNothingLeft();
  }
}

TEST_CASE("what came is held to what an image may be") {
  Sender sender;
  StoreFixture fixture;
  SECTION("hostile entries") {
    const std::string tar = test::MakeTar({{.name = "out", .type = '2', .link = "/etc"},
                                           {.name = "out/clawtest-new", .content = "x"}});
    CHECK(ReasonOf(Send(fixture, sender.image, tar).status()) == "MALICIOUS_LAYER");
    CHECK_FALSE(fs::exists("/etc/clawtest-new"));
  }
  SECTION("no digest") {
    for (const char* digest : {"", "sha256:..", "../../etc"}) {
      Image image = sender.image;
      image.digest = digest;
      CHECK(fixture.store().Receive(image).status().code() == StatusCode::kInvalidArgument);
    }
  }
  SECTION("too large") {
    StoreFixture small({.max_image_bytes = kMiB});
    CHECK(ReasonOf(Send(small, sender.image, sender.Tar()).status()) == "IMAGE_TOO_LARGE");
    small.CheckNothingLeft();
  }
  fixture.CheckNothingLeft();
}

TEST_CASE("rights that a sandbox must not find are taken off here, too") {
  Sender sender;
  StoreFixture fixture;
  const std::string tar = test::MakeTar({{.name = "su", .content = "x", .mode = 04755}});
  const auto image = Send(fixture, sender.image, tar);
  REQUIRE_OK(image.status());
  CHECK(image->cleared_setuid_bits == sender.image.cleared_setuid_bits + 1);
  const auto mode = fs::status(fixture.store().RootfsPath(image->digest) / "su").permissions();
  CHECK((mode & fs::perms::set_uid) == fs::perms::none);
}

TEST_CASE("a full disk ends it with what was needed and what there was") {
  Sender sender;
  const SmallDisk disk("6m");
  REQUIRE(disk.mounted());
  const auto check = [](const Status& status) {
    CAPTURE(Shown(status));
    CHECK(status.code() == StatusCode::kResourceExhausted);
    REQUIRE(ReasonOf(status) == "DISK_FULL");
    CHECK(GetErrorDetail(status)->needed != "0 bytes");
    CHECK_FALSE(GetErrorDetail(status)->available.empty());
  };
  SECTION("before a byte of it is sent, if its record says so") {
    StoreFixture fixture({.root = disk.path(), .min_free_disk_bytes = 0});
    Image larger = sender.image;
    larger.size_bytes = kGiB;
    check(fixture.store().Receive(larger).status());
    fixture.CheckNothingLeft();
  }
  SECTION("in the middle, if it says nothing or is not alone") {
    for (const int64_t keep_free : {int64_t{0}, 2 * kMiB}) {
      StoreFixture fixture({.root = disk.path(), .min_free_disk_bytes = keep_free});
      Image silent = sender.image;
      silent.size_bytes = 0;
      {
        const auto incoming = Begin(fixture, silent);
        // Somebody else takes what was free when it began.
        test::WriteBytes(disk.path().parent_path() / "other", Noise(3 << 20));
        const std::string tar = sender.Tar();
        Status status;
        for (size_t at = 0; status.ok() && at < tar.size(); at += 100'000) {
          status = incoming->Write(std::string_view(tar).substr(at, 100'000));
        }
        if (status.ok()) status = incoming->Finish().status();
        check(status);
        check(incoming->Finish().status());  // and stays so
      }
      fixture.CheckNothingLeft();
      fs::remove(disk.path().parent_path() / "other");
    }
  }
}

}  // namespace
}  // namespace claw::image
