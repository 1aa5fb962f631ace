// What is on disk: crash leftovers, broken folders, removal, a disk that is full.

#include <sys/stat.h>

#include "agent/base/digest.h"
#include "tests/integration/image/small_disk.h"
#include "tests/integration/image/store_fixture.h"
#include "tests/support/registry.h"

namespace claw::image {
namespace {

namespace fs = std::filesystem;
using test::BusyboxImage;

TEST_CASE("a full disk is told with what was needed and what there was") {
  const SmallDisk disk("16m");
  REQUIRE(disk.mounted());
  const test::ImageSpec noise = {
      .layers = {{.entries = {{.name = "n", .content = Noise(12 << 20)}}}}};
  const test::ImageSpec zeros = {
      .layers = {{.entries = {{.name = "z", .content = std::string(40 << 20, '\0')}}}}};
  const test::ImageSpec larger = {
      .layers = {{.entries = {{.name = "n", .content = Noise(30 << 20)}}}}};

  // Fetched, but not to be unpacked beside it; more than the disk when unpacked; not to be fetched.
  for (const test::ImageSpec* spec : {&noise, &zeros, &larger}) {
    for (const int64_t keep_free : {int64_t{0}, 2 * kMiB}) {
      StoreFixture fixture({.root = disk.path(), .min_free_disk_bytes = keep_free});
      const auto image = fixture.ImportImage(*spec);
      CAPTURE(Shown(image.status()), keep_free);
      CHECK(image.status().code() == StatusCode::kResourceExhausted);
      REQUIRE(ReasonOf(image.status()) == "DISK_FULL");
      const auto detail = GetErrorDetail(image.status());
      CHECK(detail->needed != "0 bytes");
      CHECK_FALSE(detail->needed.empty());
      CHECK_FALSE(detail->available.empty());
      CHECK(detail->retry_after.has_value());
      fixture.CheckNothingLeft();
    }
  }
}

TEST_CASE("a full disk stops a pull and a copied folder, too") {
  const SmallDisk disk("8m");
  REQUIRE(disk.mounted());
  StoreFixture fixture({.root = disk.path(), .min_free_disk_bytes = kMiB});
  const test::Registry registry(fixture.work() / "registry");
  test::WriteOciLayout(fixture.work() / "layout",
                       {.layers = {{.entries = {{.name = "n", .content = Noise(12 << 20)}}}}});
  registry.Push(fixture.work() / "layout", "app:v1");
  const auto pulled = fixture.Pull(registry.host() + "/app:v1");
  CHECK(ReasonOf(pulled.status()) == "DISK_FULL");
  test::WriteBytes(fixture.work() / "root/n", Noise(12 << 20));
  const auto copied = fixture.Import("rootfs:" + (fixture.work() / "root").string());
  CHECK(ReasonOf(copied.status()) == "DISK_FULL");
  fixture.CheckNothingLeft();
}

TEST_CASE("what a crash left behind is cleared by Open, whole images stay") {
  StoreFixture fixture;
  const auto image = fixture.ImportImage(BusyboxImage());
  REQUIRE_OK(image.status());
  test::WriteBytes(fixture.root() / "tmp/0123456789abcdef/image/rootfs/bin/x", "half");
  test::WriteBytes(fixture.root() / "tmp/removed-1/rootfs/x", "half");
  test::WriteBytes(fixture.root() / "tmp/stray", "x");
  fs::create_symlink("/etc", fixture.root() / "tmp/link");
  ::chmod(fixture.root().c_str(), 0755);
  fixture.Reopen();
  CHECK(fixture.TmpIsEmpty());
  CHECK(fs::exists("/etc/passwd"));
  struct stat info {};
  REQUIRE(::stat(fixture.root().c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0700);
  const auto scan = fixture.store().ScanDisk();
  REQUIRE_OK(scan.status());
  REQUIRE(scan->images.size() == 1);
  CHECK(scan->images[0] == *image);
  CHECK(scan->quarantined.empty());
}

TEST_CASE("a scan sets broken folders aside and leaves what is not ours") {
  StoreFixture fixture;
  const auto image = fixture.ImportImage(BusyboxImage());
  REQUIRE_OK(image.status());
  const auto folder = [&](char digit) { return fixture.root() / std::string(64, digit); };
  fs::create_directories(folder('a') / "rootfs");             // no record
  test::WriteBytes(folder('b') / "image.json", "{not json");  // a bad one
  fs::create_directories(folder('b') / "rootfs");
  fs::create_directories(folder('c') / "rootfs");  // that of another image
  fs::copy_file(fixture.root() / std::string(DigestHex(image->digest)) / "image.json",
                folder('c') / "image.json");
  fs::create_directories(fixture.root() / "lost+found");

  const auto scan = fixture.store().ScanDisk();
  REQUIRE_OK(scan.status());
  REQUIRE(scan->images.size() == 1);
  CHECK(scan->images[0] == *image);
  CHECK(scan->quarantined == std::vector<std::string>{"sha256:" + std::string(64, 'a'),
                                                      "sha256:" + std::string(64, 'b'),
                                                      "sha256:" + std::string(64, 'c')});
  CHECK(std::distance(fs::directory_iterator(fixture.root() / "quarantine"), {}) == 3);
  CHECK(fs::exists(fixture.root() / "lost+found"));
  CHECK_FALSE(fs::exists(folder('a')));
  CHECK(fixture.store().ScanDisk()->quarantined.empty());
}

TEST_CASE("a broken image is set aside and made anew when it is imported again") {
  StoreFixture fixture;
  const auto image = fixture.ImportImage(BusyboxImage());
  REQUIRE_OK(image.status());
  fs::remove_all(fixture.store().RootfsPath(image->digest));
  const auto again = fixture.ImportImage(BusyboxImage());
  REQUIRE_OK(again.status());
  CHECK(again->digest == image->digest);
  CHECK(fs::exists(fixture.store().RootfsPath(image->digest) / "bin/busybox"));
  CHECK(std::distance(fs::directory_iterator(fixture.root() / "quarantine"), {}) == 1);
}

TEST_CASE("removal takes the folder, is idempotent, and checks what it is given") {
  StoreFixture fixture;
  const auto image = fixture.ImportImage(BusyboxImage());
  REQUIRE_OK(image.status());
  REQUIRE_OK(fixture.store().Remove(image->digest));
  fixture.CheckNothingLeft();
  CHECK(fixture.store().Remove(image->digest).ok());
  CHECK(fixture.store().ScanDisk()->images.empty());
  for (const std::string& bad :
       {std::string(), std::string("sha256:../.."), std::string("tmp"), std::string(64, 'a')}) {
    CHECK(fixture.store().Remove(bad).code() == StatusCode::kInvalidArgument);
    CHECK(fixture.store().RootfsPath(bad).empty());
  }
  CHECK(fs::exists(fixture.root() / "tmp"));
}

TEST_CASE("a store cannot be where there is no place for it") {
  const test::TempDir dir;
  test::WriteBytes(dir.path() / "file", "x");
  CHECK_FALSE(ImageStore::Open({.root = dir.path() / "file"}).ok());
  CHECK_FALSE(ImageStore::Open({.root = dir.path() / "with:colon"}).ok());
  CHECK_FALSE(ImageStore::Open({.root = "relative"}).ok());
  fs::create_directory_symlink(dir.path(), dir.path() / "link");
  CHECK_FALSE(ImageStore::Open({.root = dir.path() / "link"}).ok());
}

}  // namespace
}  // namespace claw::image
