// Layers that try to get out of the root folder, or to bring in what no sandbox may have.

#include <sys/stat.h>

#include "tests/integration/image/store_fixture.h"

namespace claw::image {
namespace {

namespace fs = std::filesystem;
using test::TarEntry;

test::ImageSpec OneLayer(std::vector<TarEntry> entries) {
  return {.layers = {{.entries = std::move(entries)}}};
}

// Files beside the store that hostile layers aim at; unchanged or the test fails.
class Bait {
 public:
  explicit Bait(const fs::path& folder) : folder_(folder) {
    test::WriteBytes(folder_ / "file", "untouched");
  }
  ~Bait() {
    CHECK(test::ReadBytes(folder_ / "file") == "untouched");
    CHECK(std::distance(fs::directory_iterator(folder_), {}) == 1);
    struct stat info {};
    CHECK(::stat((folder_ / "file").c_str(), &info) == 0);
    CHECK(info.st_nlink == 1);
  }
  [[nodiscard]] std::string path(const std::string& name) const {
    return (folder_ / name).string();
  }
  [[nodiscard]] std::string folder() const { return folder_.string(); }

 private:
  fs::path folder_;
};

TEST_CASE("layers that name a way out are refused") {
  StoreFixture fixture;
  const Bait bait(fixture.work() / "bait");
  const std::string up = "../../../../../../../../../../../..";
  std::vector<std::vector<TarEntry>> attacks = {
      {{.name = up + bait.path("new"), .content = "evil"}},
      {{.name = "../image.json", .content = "{}"}},
      {{.name = "d/", .type = '5'}, {.name = "d/../../x", .content = "evil"}},
      {{.name = "x", .content = "evil", .pax = {{"path", up + bait.path("new")}}}},
      {{.name = "x", .type = '1', .link = "../../../../../../etc/shadow"}},
      {{.name = ".wh..."}},
      {{.name = "d/.wh..."}},
      {{.name = ".", .type = '2', .link = "/"}},
  };
  for (size_t i = 0; i < attacks.size(); ++i) {
    CAPTURE(i);
    const auto image = fixture.ImportImage(OneLayer(attacks[i]));
    CHECK(image.status().code() == StatusCode::kInvalidArgument);
    CHECK(ReasonOf(image.status()) == "MALICIOUS_LAYER");
    fixture.CheckNothingLeft();
  }
}

TEST_CASE("a bad layer is found behind good ones, before anything is unpacked") {
  StoreFixture fixture;
  test::ImageSpec spec = test::BusyboxImage();
  spec.layers.push_back({.entries = {{.name = "../x", .content = "evil"}}, .compression = "zstd"});
  test::WriteOciLayout(fixture.work() / "layout", spec);
  bool unpacking = false;
  const auto image = fixture.store().Import(
      "oci:" + (fixture.work() / "layout").string(), "", "", "",
      [&](std::string_view phase, std::string_view) { unpacking |= phase == "unpacking"; });
  CHECK(ReasonOf(image.status()) == "MALICIOUS_LAYER");
  CHECK_FALSE(unpacking);
  fixture.CheckNothingLeft();
}

TEST_CASE("writing through links stays within the root") {
  StoreFixture fixture;
  const Bait bait(fixture.work() / "bait");
  const std::string up = "../../../../../../../../../../..";
  const std::vector<std::vector<TarEntry>> attacks = {
      {{.name = "l", .type = '2', .link = bait.folder()}, {.name = "l/new", .content = "evil"}},
      {{.name = "l", .type = '2', .link = bait.path("file")}, {.name = "l", .content = "evil"}},
      {{.name = "l", .type = '2', .link = up + bait.folder()},
       {.name = "l/new", .content = "evil"}},
      {{.name = "l", .type = '2', .link = bait.folder()}, {.name = "l/.wh.file"}},
      {{.name = "l", .type = '2', .link = bait.folder()}, {.name = "l/.wh..wh..opq"}},
      {{.name = "l", .type = '2', .link = bait.folder()},
       {.name = "h", .type = '1', .link = "l/file"}},
      {{.name = "h", .type = '1', .link = bait.path("file")}, {.name = "h", .content = "evil"}},
      {{.name = bait.path("new"), .content = "evil"}},
      {{.name = "a", .type = '2', .link = "b"},
       {.name = "b", .type = '2', .link = bait.folder()},
       {.name = "a/new", .content = "evil"}},
      {{.name = "l", .type = '2', .link = bait.folder()},
       {.name = "l/", .type = '5', .mode = 0777},
       {.name = "l/new", .content = "evil"}},
  };
  for (size_t i = 0; i < attacks.size(); ++i) {
    // In one layer, and with the link in a layer below what goes through it.
    for (const bool split : {false, true}) {
      CAPTURE(i, split);
      test::ImageSpec spec = OneLayer(attacks[i]);
      if (split && attacks[i].size() > 1) {
        spec.layers = {{.entries = {attacks[i].begin(), attacks[i].end() - 1}},
                       {.entries = {attacks[i].back()}}};
      }
      // Unpacked within or refused: either is safe; Bait looks at what matters.
      const auto image = fixture.ImportImage(spec);
      if (image.ok()) {
        REQUIRE_OK(fixture.store().Remove(image->digest));
      } else {
        const std::string reason = ReasonOf(image.status());
        CAPTURE(Shown(image.status()));
        CHECK((reason == "MALICIOUS_LAYER" || reason == "CORRUPT_IMAGE"));
      }
      fixture.CheckNothingLeft();
    }
  }
}

TEST_CASE("an absolute name lands in the image") {
  StoreFixture fixture;
  const auto image = fixture.ImportImage(OneLayer({{.name = "/clawlet-absolute", .content = "x"},
                                                   {.name = "l", .type = '2', .link = "/target"},
                                                   {.name = "target/", .type = '5'},
                                                   {.name = "l/clawlet-through", .content = "y"}}));
  REQUIRE_OK(image.status());
  const fs::path rootfs = fixture.store().RootfsPath(image->digest);
  CHECK(test::ReadBytes(rootfs / "clawlet-absolute") == "x");
  CHECK(test::ReadBytes(rootfs / "target/clawlet-through") == "y");
  CHECK_FALSE(fs::exists("/clawlet-absolute"));
  CHECK_FALSE(fs::exists("/target"));
}

TEST_CASE("device nodes are dropped and setuid bits cleared, both counted") {
  StoreFixture fixture;
  const auto image = fixture.ImportImage(OneLayer({
      {.name = "dev/", .type = '5'},
      {.name = "dev/null", .type = '3', .mode = 0666},
      {.name = "dev/disk", .type = '4', .mode = 0666},
      {.name = "pipe", .type = '6', .mode = 0666},
      {.name = "su", .content = "x", .mode = 04755},
      {.name = "wall", .content = "x", .mode = 02755},
      {.name = "plain", .content = "x", .mode = 0644},
      {.name = "tmp/", .type = '5', .mode = 01777},
  }));
  REQUIRE_OK(image.status());
  CHECK(image->dropped_device_nodes == 2);
  CHECK(image->cleared_setuid_bits == 2);
  const fs::path rootfs = fixture.store().RootfsPath(image->digest);
  CHECK(fs::is_empty(rootfs / "dev"));
  CHECK_FALSE(fs::exists(rootfs / "pipe"));
  CHECK(fs::status(rootfs / "su").permissions() == static_cast<fs::perms>(0755));
  CHECK(fs::status(rootfs / "wall").permissions() == static_cast<fs::perms>(0755));
  CHECK(fs::status(rootfs / "plain").permissions() == static_cast<fs::perms>(0644));
  CHECK(fs::status(rootfs / "tmp").permissions() == static_cast<fs::perms>(01777));
}

TEST_CASE("bombs are refused before they are unpacked") {
  StoreFixture fixture({.max_image_bytes = 8 * kMiB, .max_image_files = 100});
  const std::string zeros(64 << 20, '\0');
  std::vector<TarEntry> many;
  for (int i = 0; i < 101; ++i) many.push_back({.name = std::to_string(i)});
  const std::vector<test::ImageSpec> bombs = {
      OneLayer({{.name = "zeros", .content = zeros}}),
      {.layers = {{.entries = {{.name = "zeros", .content = zeros}}, .compression = "zstd"}}},
      {.layers = {{.entries = {{.name = "a", .content = std::string(5 << 20, 'a')}}},
                  {.entries = {{.name = "b", .content = std::string(5 << 20, 'b')}}}}},
      OneLayer({{.name = "huge", .declared_size = int64_t{1} << 60}}),
      OneLayer(many),
  };
  for (size_t i = 0; i < bombs.size(); ++i) {
    CAPTURE(i);
    test::WriteOciLayout(fixture.work() / std::to_string(i), bombs[i]);
    bool unpacking = false;
    const auto image = fixture.store().Import(
        "oci:" + (fixture.work() / std::to_string(i)).string(), "", "", "",
        [&](std::string_view phase, std::string_view) { unpacking |= phase == "unpacking"; });
    CAPTURE(Shown(image.status()));
    CHECK(image.status().code() == StatusCode::kResourceExhausted);
    CHECK(ReasonOf(image.status()) == "IMAGE_TOO_LARGE");
    CHECK_FALSE(GetErrorDetail(image.status())->needed.empty());
    CHECK_FALSE(GetErrorDetail(image.status())->available.empty());
    CHECK_FALSE(unpacking);
    fixture.CheckNothingLeft();
  }
}

TEST_CASE("an archive that is a bomb itself is refused") {
  StoreFixture fixture({.max_image_bytes = 8 * kMiB});
  const std::string tar =
      test::MakeTar({{.name = "blobs/sha256/x", .content = std::string(64 << 20, '\0')}});
  const fs::path file = fixture.work() / "bomb.tar.gz";
  test::WriteBytes(file, test::Compress(tar, "gzip"));
  for (const char* kind : {"oci-archive:", "docker-archive:"}) {
    CHECK(ReasonOf(fixture.Import(kind + file.string()).status()) == "IMAGE_TOO_LARGE");
  }
  fixture.CheckNothingLeft();
}

TEST_CASE("a compressed layer within an archive is a bomb, too") {
  StoreFixture fixture({.max_image_bytes = 8 * kMiB});
  const fs::path file = fixture.work() / "saved.tar";
  const std::string bomb = test::Compress(
      test::MakeTar({{.name = "zeros", .content = std::string(64 << 20, '\0')}}), "gzip");
  test::WriteDockerArchive(file, {.layers = {{.raw_tar = bomb}}}, "app:v1");
  const auto image = fixture.Import("docker-archive:" + file.string());
  CAPTURE(Shown(image.status()));
  CHECK(ReasonOf(image.status()) == "IMAGE_TOO_LARGE");
  CHECK_FALSE(GetErrorDetail(image.status())->needed.empty());
  fixture.CheckNothingLeft();
}

TEST_CASE("names with bad UTF-8 are kept on disk and break nothing") {
  StoreFixture fixture;
  const auto image = fixture.ImportImage(
      OneLayer({{.name = "bad\xff\xfe", .content = "x"}, {.name = "new\nline", .content = "y"}}));
  REQUIRE_OK(image.status());
  CHECK(test::ReadBytes(fixture.store().RootfsPath(image->digest) / "bad\xff\xfe") == "x");
  CHECK(fixture.store().ScanDisk()->images.size() == 1);
}

TEST_CASE("a tree that nests deeper than its names show is refused and leaves nothing") {
  StoreFixture fixture;
  std::string deep;
  for (int i = 0; i < 150; ++i) deep += "d/";
  const auto image =
      fixture.ImportImage(OneLayer({{.name = "x", .type = '5', .pax = {{"path", deep}}},
                                    {.name = "l", .type = '2', .pax = {{"linkpath", deep}}},
                                    {.name = "x", .type = '5', .pax = {{"path", "l/" + deep}}}}));
  CHECK(ReasonOf(image.status()) == "CORRUPT_IMAGE");
  fixture.CheckNothingLeft();
}

}  // namespace
}  // namespace claw::image
