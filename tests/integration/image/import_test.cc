#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "drivers/image/manifest.h"
#include "tests/integration/image/store_fixture.h"

namespace claw::image {
namespace {

namespace fs = std::filesystem;
using test::BusyboxImage;

TEST_CASE("a docker-archive is imported, once") {
  StoreFixture fixture;
  const fs::path file = fixture.work() / "saved.tar";
  test::WriteDockerArchive(file, BusyboxImage(), "busybox:saved");
  const auto image = fixture.Import("docker-archive:" + file.string(), "team/app");
  REQUIRE_OK(image.status());
  CHECK(image->names == std::vector<std::string>{"docker.io/team/app:latest"});
  CHECK(image->command == std::vector<std::string>{"/bin/sh"});
  CHECK(test::ReadBytes(fixture.store().RootfsPath(image->digest) / "bin/sh") ==
        test::ReadBytes("/bin/busybox"));
  const auto named = fixture.Import("docker-archive:" + file.string() + ":busybox:saved");
  REQUIRE_OK(named.status());
  CHECK(named->digest == image->digest);
  CHECK(ReasonOf(fixture.Import("docker-archive:" + file.string() + ":other:1").status()) ==
        "IMAGE_NOT_FOUND");
  CHECK(fixture.CountImages() == 1);
  CHECK(fixture.TmpIsEmpty());
}

TEST_CASE("a layout and its archive are the same image") {
  StoreFixture fixture;
  const std::string digest = test::WriteOciLayout(fixture.work() / "layout", BusyboxImage());
  test::WriteOciArchive(fixture.work() / "image.tar", BusyboxImage());
  const auto layout = fixture.Import("oci:" + (fixture.work() / "layout").string() + ":v1");
  REQUIRE_OK(layout.status());
  CHECK(layout->digest == digest);
  CHECK(layout->names.empty());
  const auto archive = fixture.Import("oci-archive:" + (fixture.work() / "image.tar").string());
  REQUIRE_OK(archive.status());
  CHECK(archive->digest == digest);
  CHECK(fixture.CountImages() == 1);
}

TEST_CASE("layers come plain, as gzip and as zstd, with whiteouts") {
  StoreFixture fixture;
  const auto image = fixture.ImportImage(
      {.layers = {{.entries = {{.name = "a/", .type = '5'},
                               {.name = "a/one", .content = "1"},
                               {.name = "a/two", .content = "2"}},
                   .compression = "none"},
                  {.entries = {{.name = "b", .content = "3"}}, .compression = "zstd"},
                  {.entries = {{.name = "a/.wh.one"}, {.name = "c", .content = "4"}}}}});
  REQUIRE_OK(image.status());
  const fs::path rootfs = fixture.store().RootfsPath(image->digest);
  CHECK_FALSE(fs::exists(rootfs / "a/one"));
  CHECK(test::ReadBytes(rootfs / "a/two") == "2");
  CHECK(test::ReadBytes(rootfs / "b") == "3");
  CHECK(test::ReadBytes(rootfs / "c") == "4");
}

TEST_CASE("a folder is imported as an image; the same content is the same image") {
  StoreFixture fixture;
  const fs::path source = fixture.work() / "root";
  test::WriteBytes(source / "bin/busybox", test::ReadBytes("/bin/busybox"));
  test::WriteBytes(source / "etc/name\xff\xfe", "x");
  fs::create_symlink("/etc/passwd", source / "link");
  ::chmod((source / "bin/busybox").c_str(), 04755);
  REQUIRE(::mknod((source / "null").c_str(), S_IFCHR | 0666, makedev(1, 3)) == 0);
  const auto image = fixture.Import("rootfs:" + source.string(), "local/folder:1");
  REQUIRE_OK(image.status());
  CHECK(image->architecture == MachineArchitecture());
  CHECK(image->names == std::vector<std::string>{"docker.io/local/folder:1"});
  CHECK(image->dropped_device_nodes == 1);
  CHECK(image->cleared_setuid_bits == 1);
  const fs::path rootfs = fixture.store().RootfsPath(image->digest);
  CHECK(fs::exists(rootfs / "bin/busybox"));
  CHECK(fs::exists(rootfs / "etc/name\xff\xfe"));
  CHECK(fs::read_symlink(rootfs / "link") == "/etc/passwd");
  CHECK_FALSE(fs::exists(rootfs / "null"));
  // The source stays as it was.
  CHECK(fs::exists(source / "null"));

  const auto again = fixture.Import("rootfs:" + source.string());
  REQUIRE_OK(again.status());
  CHECK(again->digest == image->digest);
  test::WriteBytes(source / "etc/more", "x");
  const auto changed = fixture.Import("rootfs:" + source.string());
  REQUIRE_OK(changed.status());
  CHECK(changed->digest != image->digest);
  CHECK(fixture.CountImages() == 2);
}

TEST_CASE("a folder that is too large, not there, or around the store is refused") {
  StoreFixture fixture({.max_image_bytes = kMiB, .max_image_files = 10});
  const fs::path source = fixture.work() / "root";
  fs::create_directories(source);
  test::WriteBytes(source / "sparse", "x");
  fs::resize_file(source / "sparse", 1'000'000'000'000);
  CHECK(ReasonOf(fixture.Import("rootfs:" + source.string()).status()) == "IMAGE_TOO_LARGE");
  fs::remove(source / "sparse");
  for (int i = 0; i < 11; ++i) test::WriteBytes(source / std::to_string(i), "");
  CHECK(ReasonOf(fixture.Import("rootfs:" + source.string()).status()) == "IMAGE_TOO_LARGE");
  CHECK(ReasonOf(fixture.Import("rootfs:/no/such/folder").status()) == "IMAGE_NOT_FOUND");
  CHECK(ReasonOf(fixture.Import("rootfs:/bin/busybox").status()) == "IMAGE_NOT_FOUND");
  CHECK(ReasonOf(fixture.Import("rootfs:/").status()) == "BAD_REFERENCE");
  CHECK(ReasonOf(fixture.Import("rootfs:" + fixture.root().string() + "/tmp").status()) ==
        "BAD_REFERENCE");
  fixture.CheckNothingLeft();
}

TEST_CASE("sources that are not there or are no image are refused") {
  StoreFixture fixture;
  const std::string junk = (fixture.work() / "junk").string();
  test::WriteBytes(junk, std::string(5000, 'j'));
  test::WriteOciLayout(fixture.work() / "layout", BusyboxImage());
  const std::string layout = (fixture.work() / "layout").string();
  CHECK(ReasonOf(fixture.Import("oci-archive:" + junk).status()) == "CORRUPT_IMAGE");
  CHECK(ReasonOf(fixture.Import("docker-archive:" + junk).status()) == "CORRUPT_IMAGE");
  CHECK(ReasonOf(fixture.Import("oci-archive:/no/such.tar").status()) == "IMAGE_NOT_FOUND");
  CHECK(ReasonOf(fixture.Import("docker-archive:" + layout).status()) == "IMAGE_NOT_FOUND");
  CHECK(ReasonOf(fixture.Import("oci:" + junk).status()) == "IMAGE_NOT_FOUND");
  CHECK(ReasonOf(fixture.Import("oci:/etc").status()) == "CORRUPT_IMAGE");
  CHECK(ReasonOf(fixture.Import("oci:" + layout + ":nope").status()) == "IMAGE_NOT_FOUND");
  CHECK(ReasonOf(fixture.Import("oci:" + layout + "/../layout").status()) == "BAD_REFERENCE");
  CHECK(ReasonOf(fixture.Import("oci:" + layout, "Bad Name").status()) == "BAD_REFERENCE");
  fixture.CheckNothingLeft();
}

TEST_CASE("corrupted and mismatched layouts are CORRUPT_IMAGE") {
  StoreFixture fixture;
  const fs::path layout = fixture.work() / "bad";
  test::ImageSpec spec = BusyboxImage();

  SECTION("a layer with one byte changed") {
    test::WriteOciLayout(layout, spec);
    fs::path largest;
    for (const auto& blob : fs::directory_iterator(layout / "blobs/sha256")) {
      if (largest.empty() || blob.file_size() > fs::file_size(largest)) largest = blob.path();
    }
    std::string bytes = test::ReadBytes(largest);
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
    test::WriteBytes(largest, bytes);
  }
  SECTION("a blob that is not there") {
    test::WriteOciLayout(layout, spec);
    for (const auto& blob : fs::directory_iterator(layout / "blobs/sha256")) {
      if (blob.file_size() > 100'000) fs::remove(blob.path());
    }
  }
  SECTION("a manifest with one byte changed") {
    const fs::path manifest = test::BlobFile(layout, test::WriteOciLayout(layout, spec));
    std::string bytes = test::ReadBytes(manifest);
    bytes.insert(bytes.size() - 1, " ");
    test::WriteBytes(manifest, bytes);
  }
  SECTION("layers that are not what the config says") {
    spec.wrong_diff_ids = true;
    test::WriteOciLayout(layout, spec);
  }
  SECTION("a config of another shape") {
    spec.config_json = R"({"architecture":"amd64","os":"linux","config":{"Cmd":5}})";
    test::WriteOciLayout(layout, spec);
  }
  SECTION("a config with fewer layers") {
    spec.config_json = R"({"architecture":"amd64","os":"linux","rootfs":{"diff_ids":[]}})";
    test::WriteOciLayout(layout, spec);
  }
  SECTION("a user that it does not have") {
    spec.process_json = R"({"User":"nobody-here"})";
    test::WriteOciLayout(layout, spec);
  }
  SECTION("an index that is no JSON") {
    test::WriteOciLayout(layout, spec);
    test::WriteBytes(layout / "index.json", "{");
  }
  const auto image = fixture.Import("oci:" + layout.string() + ":v1");
  CAPTURE(Shown(image.status()));
  CHECK(image.status().code() == StatusCode::kInvalidArgument);
  CHECK(ReasonOf(image.status()) == "CORRUPT_IMAGE");
  fixture.CheckNothingLeft();
}

TEST_CASE("an image for another architecture is refused") {
  StoreFixture fixture;
  test::ImageSpec other = BusyboxImage();
  other.architecture = "s390x";
  const auto image = fixture.ImportImage(other);
  CHECK(ReasonOf(image.status()) == "UNSUPPORTED_ARCHITECTURE");
  CHECK(GetErrorDetail(image.status())->needed == "linux/s390x");
  test::WriteOciIndex(fixture.work() / "index", {other});
  CHECK(ReasonOf(fixture.Import("oci:" + (fixture.work() / "index").string()).status()) ==
        "UNSUPPORTED_ARCHITECTURE");
  fixture.CheckNothingLeft();
}

TEST_CASE("of a layout for several architectures each can be imported") {
  StoreFixture fixture;
  test::ImageSpec arm = BusyboxImage();
  arm.architecture = "arm64";
  test::ImageSpec amd = BusyboxImage();
  amd.architecture = "amd64";
  const auto digests = test::WriteOciIndex(fixture.work() / "index", {arm, amd});
  const std::string source = "oci:" + (fixture.work() / "index").string() + ":v1";
  const auto first = fixture.Import(source, "app:1", "", "arm64");
  REQUIRE_OK(first.status());
  CHECK(first->digest == digests[0]);
  CHECK(first->architecture == "arm64");
  const auto second = fixture.Import(source, "app:1", "", "amd64");
  REQUIRE_OK(second.status());
  CHECK(second->digest == digests[1]);
  CHECK(fixture.CountImages() == 2);
  const auto scan = fixture.store().ScanDisk();
  REQUIRE_OK(scan.status());
  for (const Image& image : scan->images) CHECK(image.names == first->names);
  CHECK(ReasonOf(fixture.Import(source, "", "", "riscv64").status()) == "UNSUPPORTED_ARCHITECTURE");
}

TEST_CASE("a root folder is for what its first import says") {
  StoreFixture fixture;
  test::WriteBytes(fixture.work() / "root/etc/hostname", "x");
  const std::string source = "rootfs:" + (fixture.work() / "root").string();
  const auto image = fixture.Import(source, "app:1", "", "arm64");
  REQUIRE_OK(image.status());
  CHECK(image->architecture == "arm64");
  CHECK(ReasonOf(fixture.Import(source, "app:1", "", "amd64").status()) ==
        "UNSUPPORTED_ARCHITECTURE");
  CHECK(fixture.Import(source, "app:2", "", "arm64")->digest == image->digest);
}

}  // namespace
}  // namespace claw::image
