#include "drivers/image/layer_scan.h"

#include <fcntl.h>

#include <catch2/catch.hpp>

#include "agent/base/bytes.h"
#include "agent/base/digest.h"
#include "agent/base/unique_fd.h"
#include "tests/support/image_maker.h"
#include "tests/support/temp_dir.h"

namespace claw::image {
namespace {

using test::MakeTar;
using test::TarEntry;

constexpr ScanLimits kRoomy = {.max_bytes = kGiB, .max_files = 1000, .disk_bytes = kGiB};

StatusOr<ScannedLayer> Scan(const std::string& bytes, ScanUsage& usage,
                            const ScanLimits& limits = kRoomy) {
  const test::TempDir dir;
  test::WriteBytes(dir.path() / "layer", bytes);
  return ScanLayer(dir.path() / "layer", limits, usage);
}

std::string Reason(const std::vector<TarEntry>& entries, const ScanLimits& limits = kRoomy) {
  ScanUsage usage;
  const auto layer = Scan(MakeTar(entries), usage, limits);
  if (layer.ok()) return "OK";
  return GetErrorDetail(layer.status())->reason;
}

TEST_CASE("a layer's digests and sizes are those of the whole, whatever its compression") {
  const std::string tar = MakeTar({{.name = "etc/", .type = '5'},
                                   {.name = "etc/a", .content = std::string(5000, 'x')},
                                   {.name = "b", .type = '1', .link = "etc/a"}});
  for (const char* with : {"none", "gzip", "zstd"}) {
    CAPTURE(with);
    const std::string blob = test::Compress(tar, with);
    ScanUsage usage;
    const auto layer = Scan(blob, usage);
    REQUIRE(layer.ok());
    CHECK(layer->digest == DigestOf(blob));
    CHECK(layer->diff_id == DigestOf(tar));
    CHECK(layer->blob_bytes == static_cast<int64_t>(blob.size()));
    CHECK(layer->tar_bytes == static_cast<int64_t>(tar.size()));
    CHECK(usage.files == 3);
    CHECK(usage.bytes == 5000);
    CHECK(usage.disk_bytes == 8192);
  }
}

TEST_CASE("bytes behind the end of tar and of gzip are part of the digests") {
  const std::string tar = MakeTar({{.name = "a", .content = "x"}}) + std::string(20000, 'z');
  const std::string blob = test::Compress(tar, "gzip") + "trailing";
  ScanUsage usage;
  const auto layer = Scan(blob, usage);
  REQUIRE(layer.ok());
  CHECK(layer->digest == DigestOf(blob));
  CHECK(layer->diff_id == DigestOf(tar));
}

TEST_CASE("a layer without entries is one") {
  for (const char* with : {"none", "gzip", "zstd"}) {
    ScanUsage usage;
    CHECK(Scan(test::Compress(MakeTar({}), with), usage).ok());
    CHECK(usage.files == 0);
  }
}

TEST_CASE("the uncompressed tar can be kept") {
  const test::TempDir dir;
  const std::string tar = MakeTar({{.name = "a", .content = std::string(300000, 'q')}});
  test::WriteBytes(dir.path() / "layer", test::Compress(tar, "zstd"));
  const UniqueFd copy(::open((dir.path() / "copy").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  ScanUsage usage;
  REQUIRE(ScanLayer(dir.path() / "layer", kRoomy, usage, copy.get()).ok());
  CHECK(test::ReadBytes(dir.path() / "copy") == tar);
}

TEST_CASE("names that climb out are malicious") {
  for (const char* name : {"..", "../x", "a/../../x", "a/..", "/../etc/x", "./../x", "a/../b",
                           "x/.wh...", ".wh...", ".wh..", ".wh.", "a/.wh.."}) {
    CAPTURE(name);
    CHECK(Reason({{.name = name}}) == "MALICIOUS_LAYER");
    CHECK(Reason({{.name = "ok", .pax = {{"path", name}}}}) == "MALICIOUS_LAYER");
  }
  // An innocent hint of a name must not hide the one that counts.
  CHECK(Reason({{.name = "../x", .pax = {{"path", "ok"}}}}) == "OK");
}

TEST_CASE("hard links out of the image are malicious") {
  CHECK(Reason({{.name = "x", .type = '1', .link = "../../etc/shadow"}}) == "MALICIOUS_LAYER");
  CHECK(Reason({{.name = "x", .type = '1', .link = "/"}}) == "MALICIOUS_LAYER");
  CHECK(Reason({{.name = "x", .type = '1', .link = "y", .pax = {{"linkpath", "../y"}}}}) ==
        "MALICIOUS_LAYER");
}

TEST_CASE("the root may only be a folder") {
  for (const char* name : {".", "./", "/", "//."}) {
    CAPTURE(name);
    CHECK(Reason({{.name = name, .type = '2', .link = "/etc"}}) == "MALICIOUS_LAYER");
  }
  CHECK(Reason({{.name = "./", .type = '5'}}) == "OK");
}

TEST_CASE("ordinary names pass, strange ones too") {
  for (const char* name : {"a", "./a", "/abs", "...", "..a", "a..", ".wh.gone", ".wh..wh..opq",
                           "d/.wh..wh..opq", "caf\xc3\xa9", "bad\xff\xfe", "new\nline", "-rf"}) {
    CAPTURE(name);
    CHECK(Reason({{.name = name}}) == "OK");
    CHECK(Reason({{.name = "short", .pax = {{"path", name}}}}) == "OK");
  }
  // Symbolic links may point anywhere: the unpacker keeps them within the root.
  CHECK(Reason({{.name = "l", .type = '2', .link = "/etc"}, {.name = "l/x"}}) == "OK");
}

TEST_CASE("names and nesting have bounds") {
  std::string deep;
  for (int i = 0; i < 300; ++i) deep += "d/";
  CHECK(Reason({{.name = "x", .type = '5', .pax = {{"path", deep}}}}) == "CORRUPT_IMAGE");
  CHECK(Reason({{.name = "x", .pax = {{"path", std::string(5000, 'n')}}}}) == "CORRUPT_IMAGE");
}

TEST_CASE("more bytes than allowed are refused with needed and available") {
  ScanUsage usage;
  const ScanLimits limits = {.max_bytes = 1000, .max_files = 10, .disk_bytes = kGiB};
  const auto layer =
      Scan(MakeTar({{.name = "a", .content = std::string(1001, 'x')}}), usage, limits);
  const auto detail = GetErrorDetail(layer.status());
  CHECK(layer.status().code() == StatusCode::kResourceExhausted);
  CHECK(detail->reason == "IMAGE_TOO_LARGE");
  CHECK(detail->constraint == "max_image_bytes");
  CHECK(detail->needed == "1001 bytes");
  CHECK(detail->available == "1000 bytes");
}

TEST_CASE("usage adds up over layers") {
  ScanUsage usage;
  const ScanLimits limits = {.max_bytes = 1000, .max_files = 10, .disk_bytes = kGiB};
  const std::string tar = MakeTar({{.name = "a", .content = std::string(600, 'x')}});
  CHECK(Scan(tar, usage, limits).ok());
  CHECK_FALSE(Scan(tar, usage, limits).ok());
}

TEST_CASE("a size that is only declared counts, without a byte of it there") {
  ScanUsage usage;
  const auto layer =
      Scan(MakeTar({{.name = "a", .declared_size = int64_t{1} << 60}}), usage, kRoomy);
  REQUIRE_FALSE(layer.ok());
  CHECK(GetErrorDetail(layer.status())->reason == "IMAGE_TOO_LARGE");
}

TEST_CASE("a sparse file counts with its holes") {
  CHECK(Reason({{.name = "GNUSparseFile.0/a",
                 .content = "0\n" + std::string(510, '\0'),
                 .pax = {{"GNU.sparse.major", "1"},
                         {"GNU.sparse.minor", "0"},
                         {"GNU.sparse.name", "a"},
                         {"GNU.sparse.realsize", "99999999999999"}}}}) == "IMAGE_TOO_LARGE");
}

TEST_CASE("too many files and too little disk are told apart") {
  const std::vector<TarEntry> three = {{.name = "a"}, {.name = "b"}, {.name = "c"}};
  CHECK(Reason(three, {.max_bytes = 10, .max_files = 3, .disk_bytes = kGiB}) == "OK");
  CHECK(Reason(three, {.max_bytes = 10, .max_files = 2, .disk_bytes = kGiB}) == "IMAGE_TOO_LARGE");
  CHECK(Reason({{.name = "a", .content = "x"}},
               {.max_bytes = 10, .max_files = 3, .disk_bytes = 4095}) == "DISK_FULL");
}

TEST_CASE("a bomb is refused early, by its headers as by its stream") {
  const std::string zeros(64 << 20, '\0');
  for (const char* with : {"gzip", "zstd"}) {
    CAPTURE(with);
    ScanUsage usage;
    const ScanLimits limits = {.max_bytes = kMiB, .max_files = 10, .disk_bytes = kGiB};
    const std::string honest = test::Compress(MakeTar({{.name = "a", .content = zeros}}), with);
    REQUIRE(honest.size() < 1 << 20);
    CHECK(GetErrorDetail(Scan(honest, usage, limits).status())->reason == "IMAGE_TOO_LARGE");
    ScanUsage other;
    const std::string behind_the_end = test::Compress(MakeTar({{.name = "a"}}) + zeros, with);
    CHECK(GetErrorDetail(Scan(behind_the_end, other, limits).status())->reason ==
          "IMAGE_TOO_LARGE");
  }
}

TEST_CASE("what is no layer is corrupt") {
  const std::string good =
      test::Compress(MakeTar({{.name = "a", .content = std::string(90000, 'r')}}), "gzip");
  for (const std::string& bytes : std::vector<std::string>{
           "hello", std::string(2000, 'x'), good.substr(0, good.size() / 2),
           "\x1f\x8b" + std::string(100, 'j'), "\x28\xb5\x2f\xfd" + std::string(100, 'j'),
           MakeTar({{.name = "a", .content = std::string(9000, 'r')}}).substr(0, 3000)}) {
    CAPTURE(bytes.substr(0, 10), bytes.size());
    ScanUsage usage;
    const auto layer = Scan(bytes, usage);
    REQUIRE_FALSE(layer.ok());
    CHECK(GetErrorDetail(layer.status())->reason == "CORRUPT_IMAGE");
  }
  ScanUsage usage;
  const test::TempDir dir;
  CHECK(GetErrorDetail(ScanLayer(dir.path() / "none", kRoomy, usage).status())->reason ==
        "CORRUPT_IMAGE");
}

}  // namespace
}  // namespace claw::image
