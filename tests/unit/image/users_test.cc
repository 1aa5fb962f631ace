#include "drivers/image/users.h"

#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "tests/support/image_maker.h"
#include "tests/support/temp_dir.h"

namespace claw::image {
namespace {

namespace fs = std::filesystem;

struct Root {
  Root() {
    test::WriteBytes(path() / "etc/passwd",
                     "root:x:0:0:root:/root:/bin/sh\nbroken line\napp:x:1000:100::/:/bin/sh\n"
                     "huge:x:99999999999:1::/:\n");
    test::WriteBytes(path() / "etc/group",
                     "root:x:0:\nusers:x:100:\nstaff:x:50:app,other\nwheel:x:10:other,app\n");
  }
  fs::path path() const { return dir.path() / "rootfs"; }
  test::TempDir dir;
};

TEST_CASE("users are looked up in the image's own files") {
  const Root root;
  const auto app = ResolveUser(root.path(), "app");
  REQUIRE(app.ok());
  CHECK(app->uid == 1000);
  CHECK(app->gid == 100);
  CHECK(app->additional_gids == std::vector<int64_t>{10, 50});
  const auto in_group = ResolveUser(root.path(), "app:staff");
  REQUIRE(in_group.ok());
  CHECK(in_group->gid == 50);
  CHECK(in_group->additional_gids.empty());
  CHECK(ResolveUser(root.path(), "1000")->gid == 100);
  CHECK(ResolveUser(root.path(), "7777")->uid == 7777);
  CHECK(ResolveUser(root.path(), "7777")->gid == 0);
  CHECK(ResolveUser(root.path(), "1:2")->gid == 2);
  CHECK(ResolveUser(root.path(), "")->uid == 0);
}

TEST_CASE("users that are not there are CORRUPT_IMAGE") {
  const Root root;
  for (const char* user : {"nobody", "app:none", "huge", ":", ":staff", "-1", "99999999999",
                           "1:99999999999", "app:1:2", "caf\xff"}) {
    CAPTURE(user);
    const auto resolved = ResolveUser(root.path(), user);
    REQUIRE_FALSE(resolved.ok());
    CHECK(GetErrorDetail(resolved.status())->reason == "CORRUPT_IMAGE");
  }
}

TEST_CASE("links in the image lead to the image's files, never to the host's") {
  const Root root;
  test::WriteBytes(root.dir.path() / "host_passwd", "evil:x:0:0::/:\n");
  fs::remove(root.path() / "etc/passwd");

  SECTION("an absolute link is one from the image's root") {
    test::WriteBytes(root.path() / "store/passwd", "nix:x:30:30::/:\n");
    fs::create_symlink("/store/passwd", root.path() / "etc/passwd");
    CHECK(ResolveUser(root.path(), "nix")->uid == 30);
  }
  SECTION("a link to a file of the host finds nothing") {
    fs::create_symlink(root.dir.path() / "host_passwd", root.path() / "etc/passwd");
    CHECK_FALSE(ResolveUser(root.path(), "evil").ok());
  }
  SECTION("climbing stops at the image's root") {
    fs::create_symlink("../../../../host_passwd", root.path() / "etc/passwd");
    CHECK_FALSE(ResolveUser(root.path(), "evil").ok());
  }
  SECTION("a folder that is a link out of the image") {
    test::WriteBytes(root.dir.path() / "etc/passwd", "evil:x:0:0::/:\n");
    fs::remove_all(root.path() / "etc");
    fs::create_symlink(root.dir.path() / "etc", root.path() / "etc");
    CHECK_FALSE(ResolveUser(root.path(), "evil").ok());
  }
  SECTION("a link to itself") {
    fs::create_symlink("passwd", root.path() / "etc/passwd");
    CHECK_FALSE(ResolveUser(root.path(), "app").ok());
  }
  SECTION("a FIFO does not block") {
    REQUIRE(::mkfifo((root.path() / "etc/passwd").c_str(), 0600) == 0);
    CHECK_FALSE(ResolveUser(root.path(), "app").ok());
  }
}

}  // namespace
}  // namespace claw::image
