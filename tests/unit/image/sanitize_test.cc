#include "drivers/image/sanitize.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "agent/base/bytes.h"
#include "drivers/image/tree_digest.h"
#include "tests/support/image_maker.h"
#include "tests/support/skip.h"
#include "tests/support/temp_dir.h"

namespace claw::image {
namespace {

namespace fs = std::filesystem;

constexpr TreeLimits kRoomy = {.max_bytes = kGiB, .max_files = 1000};

mode_t ModeOf(const fs::path& path) {
  struct stat info {};
  REQUIRE(::lstat(path.c_str(), &info) == 0);
  return info.st_mode & 07777;
}

TEST_CASE("setuid and setgid bits are cleared, other bits stay, links are not followed") {
  const test::TempDir dir;
  const fs::path root = dir.path() / "rootfs";
  const fs::path outside = dir.path() / "outside";
  test::WriteBytes(outside, "x");
  ::chmod(outside.c_str(), 06755);
  test::WriteBytes(root / "bin/su", "x");
  ::chmod((root / "bin/su").c_str(), 06755);
  fs::create_hard_link(root / "bin/su", root / "bin/same");
  fs::create_directory(root / "mail");
  ::chmod((root / "mail").c_str(), 03775);
  fs::create_symlink(outside, root / "link");
  fs::create_directory_symlink(dir.path(), root / "up");

  const auto tree = Sanitize(root, kRoomy);
  REQUIRE(tree.ok());
  CHECK(tree->cleared_setuid_bits == 2);
  CHECK(ModeOf(root / "bin/su") == 0755);
  CHECK(ModeOf(root / "mail") == 01775);
  CHECK(ModeOf(outside) == 06755);
  CHECK(ModeOf(root) == 0755);
  CHECK(Sanitize(root, kRoomy)->cleared_setuid_bits == 0);
}

TEST_CASE("file capabilities and overlay attributes are taken off") {
  const test::TempDir dir;
  const fs::path file = dir.path() / "rootfs/ping";
  test::WriteBytes(file, "x");
  // cap_net_raw+ep, version 2
  const unsigned char capability[20] = {1, 0, 0, 2, 0, 0x20};
  if (::setxattr(file.c_str(), "security.capability", capability, sizeof(capability), 0) != 0 ||
      ::setxattr(file.parent_path().c_str(), "trusted.overlay.opaque", "y", 1, 0) != 0) {
    return test::SkipOrFail("needs extended attributes of the kinds security and trusted in /tmp");
  }
  const auto tree = Sanitize(file.parent_path(), kRoomy);
  REQUIRE(tree.ok());
  CHECK(tree->cleared_setuid_bits == 1);
  CHECK(::getxattr(file.c_str(), "security.capability", nullptr, 0) < 0);
  CHECK(::getxattr(file.parent_path().c_str(), "trusted.overlay.opaque", nullptr, 0) < 0);
}

TEST_CASE("device nodes are dropped and counted, FIFOs are dropped") {
  const test::TempDir dir;
  const fs::path root = dir.path() / "rootfs";
  fs::create_directories(root / "dev");
  REQUIRE(::mknod((root / "dev/null").c_str(), S_IFCHR | 0666, makedev(1, 3)) == 0);
  REQUIRE(::mknod((root / "dev/sda").c_str(), S_IFBLK | 0660, makedev(8, 0)) == 0);
  REQUIRE(::mkfifo((root / "pipe").c_str(), 0600) == 0);
  const auto tree = Sanitize(root, kRoomy);
  REQUIRE(tree.ok());
  CHECK(tree->dropped_device_nodes == 2);
  CHECK(fs::is_empty(root / "dev"));
  CHECK_FALSE(fs::exists(fs::symlink_status(root / "pipe")));
}

TEST_CASE("limits hold for the tree as it is on disk") {
  const test::TempDir dir;
  const fs::path root = dir.path() / "rootfs";
  test::WriteBytes(root / "a", std::string(5000, 'x'));
  fs::create_hard_link(root / "a", root / "b");
  CHECK(Sanitize(root, {.max_bytes = 5000, .max_files = 2}).ok());
  CHECK(GetErrorDetail(Sanitize(root, {.max_bytes = 4999, .max_files = 2}).status())->reason ==
        "IMAGE_TOO_LARGE");
  CHECK(GetErrorDetail(Sanitize(root, {.max_bytes = 5000, .max_files = 1}).status())->reason ==
        "IMAGE_TOO_LARGE");
  fs::resize_file(root / "a", 1'000'000'000'000);  // a hole
  CHECK(GetErrorDetail(Sanitize(root, {.max_bytes = kGiB, .max_files = 2}).status())->reason ==
        "IMAGE_TOO_LARGE");
}

TEST_CASE("the digest of a folder is that of its content") {
  const test::TempDir dir;
  const auto make = [&](const char* name, const char* content, const char* target) {
    const fs::path root = dir.path() / name;
    test::WriteBytes(root / "d/file\xff", content);
    fs::create_symlink(target, root / "link");
    ::chmod((root / "d").c_str(), 0755);
    ::chmod((root / "d/file\xff").c_str(), 0644);
    return *TreeDigest(root);
  };
  const std::string one = make("one", "x", "d");
  CHECK(make("same", "x", "d") == one);
  CHECK(make("content", "y", "d") != one);
  CHECK(make("target", "x", "e") != one);
  ::chmod((dir.path() / "one/d").c_str(), 0700);
  CHECK(*TreeDigest(dir.path() / "one") != one);
}

}  // namespace
}  // namespace claw::image
