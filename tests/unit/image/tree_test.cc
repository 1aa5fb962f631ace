#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <map>

#include "agent/base/bytes.h"
#include "agent/base/unique_fd.h"
#include "drivers/image/sanitize.h"
#include "drivers/image/tree_digest.h"
#include "drivers/image/tree_tar.h"
#include "drivers/image/tree_untar.h"
#include "tests/support/image_maker.h"
#include "tests/support/skip.h"
#include "tests/support/temp_dir.h"

namespace claw::image {
namespace {

namespace fs = std::filesystem;
using test::TarEntry;

constexpr ScanLimits kRoomy = {.max_bytes = kGiB, .max_files = 1000, .disk_bytes = kGiB};

std::string Reason(const Status& status) {
  if (status.ok()) return "OK";
  return GetErrorDetail(status).value_or(ErrorDetail{}).reason;
}

StatusOr<std::string> TarOf(const fs::path& rootfs) {
  std::string tar;
  const Status status = WriteTree(rootfs, [&tar](std::string_view bytes) {
    tar += bytes;
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return tar;
}

// In pieces of this size.
Status Unpack(std::string_view tar, const fs::path& rootfs, size_t piece = 1000,
              const ScanLimits& limits = kRoomy) {
  fs::create_directories(rootfs);
  const auto next = [&tar, piece]() -> StatusOr<std::string_view> {
    const std::string_view bytes = tar.substr(0, piece);
    tar.remove_prefix(bytes.size());
    return bytes;
  };
  return UnpackTree(next, limits, rootfs);
}

// All that a tar has to bring along, of every entry in its order.
std::vector<std::string> Describe(const fs::path& root) {
  std::vector<std::string> all;
  std::map<ino_t, std::string> first_names;
  const Status walked = WalkTree(root, [&](int /*folder*/, const std::string& /*name*/,
                                           const std::string& path, const struct stat& info) {
    const std::string file = (root / path).string();
    std::string line = StrCat(path, " ", info.st_mode, " ", info.st_uid, ":", info.st_gid, " ",
                              info.st_mtim.tv_sec, ".", info.st_mtim.tv_nsec);
    if (!S_ISDIR(info.st_mode)) {
      line += StrCat(" is ", first_names.try_emplace(info.st_ino, path).first->second);
    }
    if (S_ISREG(info.st_mode)) line += " " + test::ReadBytes(file);
    if (S_ISLNK(info.st_mode)) line += " -> " + fs::read_symlink(file).string();
    std::string names(4096, '\0');
    const ssize_t size = ::llistxattr(file.c_str(), names.data(), names.size());
    names.resize(size < 0 ? 0 : static_cast<size_t>(size));
    for (const std::string_view name : Split(names, '\0', true)) {
      std::string value(4096, '\0');
      const ssize_t length =
          ::lgetxattr(file.c_str(), std::string(name).c_str(), value.data(), value.size());
      line += StrCat(" ", name, "=", value.substr(0, length < 0 ? 0 : static_cast<size_t>(length)));
    }
    all.push_back(std::move(line));
    return absl::OkStatus();
  });
  REQUIRE(walked.ok());
  return all;
}

void SetTime(const fs::path& path, int64_t seconds, int64_t nanos) {
  const timespec times[2] = {{.tv_sec = seconds, .tv_nsec = nanos},
                             {.tv_sec = seconds, .tv_nsec = nanos}};
  REQUIRE(::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW) == 0);
}

TEST_CASE("a tree that was sent is the same tree") {
  const test::TempDir dir;
  const fs::path root = dir.path() / "root";
  fs::create_directories(root / "bin");
  fs::create_directories(root / "var/empty");
  test::WriteBytes(root / "bin/tool", std::string(300'000, 'x') + "end");
  test::WriteBytes(root / "bin/empty", "");
  test::WriteBytes(root / "not-utf8-\xff\xfe", "bytes");
  test::WriteBytes(root / std::string(200, 'n'), "a long name");
  fs::create_hard_link(root / "bin/tool", root / "var/same");
  fs::create_symlink("../bin/tool", root / "var/link");
  fs::create_symlink(std::string(300, 'l'), root / "dangling");
  REQUIRE(::chmod((root / "bin/tool").c_str(), 0750) == 0);
  REQUIRE(::chmod((root / "var/empty").c_str(), 01777) == 0);
  if (::geteuid() == 0) {
    REQUIRE(::lchown((root / "var/link").c_str(), 1000, 1001) == 0);
    REQUIRE(::chown((root / "bin/empty").c_str(), 3'000'000, 3'000'001) == 0);
    REQUIRE(::chown((root / "var").c_str(), 7, 8) == 0);
  }
  const std::string value("a\0b", 3);
  for (const char* file : {"bin/tool", "var"}) {
    if (::setxattr((root / file).c_str(), "user.claw", value.data(), value.size(), 0) != 0) {
      REQUIRE(errno == ENOTSUP);
      test::SkipOrFail("extended attributes");
    }
  }
  SetTime(root / "bin/tool", 1'234'567'890, 123'456'789);
  SetTime(root / "var/link", 1'000, 5);
  SetTime(root / "var/empty", 3'000'000'000, 0);
  SetTime(root / "var", -1'000'000, 0);
  SetTime(root / "bin", 77, 1);

  const auto tar = TarOf(root);
  REQUIRE(tar.ok());
  for (const size_t piece : {1'000u, 65'536u, 1u << 20}) {
    const fs::path copy = dir.path() / ("copy" + std::to_string(piece));
    const Status unpacked = Unpack(*tar, copy, piece);
    CAPTURE(piece, ToLogString(unpacked));
    REQUIRE(unpacked.ok());
    CHECK(Describe(copy) == Describe(root));
    CHECK(*TreeDigest(copy) == *TreeDigest(root));
  }
}

TEST_CASE("holes are neither sent nor filled") {
  const test::TempDir dir;
  const fs::path root = dir.path() / "root";
  fs::create_directories(root);
  constexpr off_t kSize = 64 << 20;
  const auto make = [&](const char* name, const std::vector<off_t>& data) {
    const UniqueFd fd(::open((root / name).c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    REQUIRE(::ftruncate(fd.get(), kSize) == 0);
    for (const off_t at : data) REQUIRE(::pwrite(fd.get(), "data", 4, at) == 4);
  };
  make("all", {});
  make("first", {0});
  make("last", {kSize - 4});
  make("middle", {8192, kSize / 2});
  const auto tar = TarOf(root);
  REQUIRE(tar.ok());
  CHECK(tar->size() < (1 << 20));
  const fs::path copy = dir.path() / "copy";
  const Status unpacked = Unpack(*tar, copy);
  CAPTURE(ToLogString(unpacked));
  REQUIRE(unpacked.ok());
  CHECK(*TreeDigest(copy) == *TreeDigest(root));
  for (const auto& entry : fs::directory_iterator(copy)) {
    struct stat info {};
    REQUIRE(::stat(entry.path().c_str(), &info) == 0);
    CAPTURE(entry.path().string());
    CHECK(info.st_size == kSize);
    CHECK(info.st_blocks * 512 < (1 << 20));
  }
}

TEST_CASE("what no image has is not sent, and a reader that fails ends the writing") {
  const test::TempDir dir;
  const fs::path root = dir.path() / "root";
  fs::create_directories(root);
  test::WriteBytes(root / "a", std::string(10 << 20, 'x'));
  int calls = 0;
  const Status stopped = WriteTree(root, [&calls](std::string_view) -> Status {
    ++calls;
    return Unavailable("gone");
  });
  CHECK(Reason(stopped) == "UNAVAILABLE");
  CHECK(calls == 1);

  // Half a tar has no end.
  REQUIRE(::mkfifo((root / "b").c_str(), 0600) == 0);
  std::string half;
  const Status refused = WriteTree(root, [&half](std::string_view bytes) {
    half += bytes;
    return absl::OkStatus();
  });
  CHECK(Reason(refused) == "CORRUPT_IMAGE");
  CHECK(half.find_last_not_of('\0') + 1024 > half.size());
}

TEST_CASE("hostile trees are refused, and touch nothing outside") {
  const test::TempDir dir;
  const fs::path root = dir.path() / "root";
  const fs::path outside = dir.path() / "outside";
  fs::create_directories(outside);
  test::WriteBytes(outside / "file", "untouched");
  const TarEntry link_out{.name = "out", .type = '2', .link = outside.string()};
  const TarEntry link_up{.name = "up", .type = '2', .link = ".."};
  const std::vector<std::pair<std::vector<TarEntry>, const char*>> cases = {
      {{{.name = "/etc/passwd", .content = "x"}}, "MALICIOUS_LAYER"},
      {{{.name = (outside / "new").string(), .content = "x"}}, "MALICIOUS_LAYER"},
      {{{.name = "../outside/new", .content = "x"}}, "MALICIOUS_LAYER"},
      {{{.name = "a/", .type = '5'}, {.name = "a/../../outside/new", .content = "x"}},
       "MALICIOUS_LAYER"},
      {{link_out, {.name = "out/new", .content = "x"}}, "MALICIOUS_LAYER"},
      {{link_out, {.name = "out/new/", .type = '5'}}, "MALICIOUS_LAYER"},
      {{link_up, {.name = "up/outside/file", .content = "x"}}, "MALICIOUS_LAYER"},
      {{link_out, {.name = "out", .content = "x"}}, "CORRUPT_IMAGE"},
      {{link_out, {.name = "mine", .type = '1', .link = "out/file"}}, "MALICIOUS_LAYER"},
      {{{.name = "mine", .type = '1', .link = "../outside/file"}}, "MALICIOUS_LAYER"},
      {{{.name = "mine", .type = '1', .link = (outside / "file").string()}}, "MALICIOUS_LAYER"},
      {{{.name = "mine", .type = '1', .link = "."}}, "MALICIOUS_LAYER"},
      {{{.name = "mine", .type = '1', .link = "nothing"}}, "CORRUPT_IMAGE"},
      {{{.name = "null", .type = '3'}}, "MALICIOUS_LAYER"},
      {{{.name = "disk", .type = '4'}}, "MALICIOUS_LAYER"},
      {{{.name = "pipe", .type = '6'}}, "MALICIOUS_LAYER"},
      {{{.name = "a", .content = "1"}, {.name = "a", .content = "2"}}, "CORRUPT_IMAGE"},
      {{{.name = "a", .content = "1"}, {.name = "a/b", .content = "2"}}, "CORRUPT_IMAGE"},
      {{{.name = "no/such/folder", .content = "1"}}, "CORRUPT_IMAGE"},
      {{{.name = "./", .type = '5'}}, "CORRUPT_IMAGE"},
  };
  for (size_t i = 0; i < cases.size(); ++i) {
    const Status status = Unpack(test::MakeTar(cases[i].first), root / std::to_string(i));
    CAPTURE(i, ToLogString(status));
    CHECK(Reason(status) == cases[i].second);
  }
  CHECK(test::ReadBytes(outside / "file") == "untouched");
  CHECK(fs::hard_link_count(outside / "file") == 1);
  CHECK(std::distance(fs::directory_iterator(outside), fs::directory_iterator()) == 1);
}

TEST_CASE("a tar that was cut off is none, wherever it was cut") {
  const test::TempDir dir;
  const fs::path root = dir.path() / "root";
  fs::create_directories(root / "a");
  test::WriteBytes(root / "a/b", std::string(2000, 'x'));
  test::WriteBytes(root / "c", "x");
  const auto tar = TarOf(root);
  REQUIRE(tar.ok());
  const size_t whole = tar->find_last_not_of('\0') + 1;
  for (size_t cut = 0; cut < whole; cut += 256) {
    CAPTURE(cut);
    CHECK(Reason(Unpack(tar->substr(0, cut), dir.path() / ("cut" + std::to_string(cut)))) ==
          "CORRUPT_IMAGE");
  }
  CHECK(Unpack(*tar, dir.path() / "whole").ok());
}

TEST_CASE("a tree is bounded by what it says and by what comes") {
  const test::TempDir dir;
  auto unpack = [&, i = 0](const std::vector<TarEntry>& entries, const ScanLimits& limits) mutable {
    return Reason(Unpack(test::MakeTar(entries), dir.path() / std::to_string(i++), 1000, limits));
  };
  const std::vector<TarEntry> entries = {{.name = "a", .content = std::string(5000, 'x')},
                                         {.name = "b", .content = std::string(5000, 'x')}};
  CHECK(unpack(entries, {.max_bytes = 10'000, .max_files = 2, .disk_bytes = kGiB}) == "OK");
  CHECK(unpack(entries, {.max_bytes = 9'999, .max_files = 2, .disk_bytes = kGiB}) ==
        "IMAGE_TOO_LARGE");
  CHECK(unpack(entries, {.max_bytes = kGiB, .max_files = 1, .disk_bytes = kGiB}) ==
        "IMAGE_TOO_LARGE");
  CHECK(unpack(entries, {.max_bytes = kGiB, .max_files = 2, .disk_bytes = 10'000}) == "DISK_FULL");
  CHECK(unpack({{.name = "huge", .content = "x", .declared_size = int64_t{1} << 50}}, kRoomy) ==
        "IMAGE_TOO_LARGE");
}

}  // namespace
}  // namespace claw::image
