#include "drivers/image/reference.h"

#include <catch2/catch.hpp>
#include <utility>
#include <vector>

#include "drivers/image/image_store.h"

namespace claw::image {
namespace {

const std::string kHex(64, 'a');

TEST_CASE("references get their defaults written out") {
  const std::vector<std::pair<std::string, std::string>> table = {
      {"busybox", "docker.io/library/busybox:latest"},
      {"busybox:1.35", "docker.io/library/busybox:1.35"},
      {"team/app", "docker.io/team/app:latest"},
      {"docker.io/busybox", "docker.io/library/busybox:latest"},
      {"index.docker.io/busybox", "docker.io/library/busybox:latest"},
      {"quay.io/a/b/c:x_Y.z-1", "quay.io/a/b/c:x_Y.z-1"},
      {"localhost/app", "localhost/app:latest"},
      {"localhost:5000/app:v1", "localhost:5000/app:v1"},
      {"127.0.0.1:5000/app", "127.0.0.1:5000/app:latest"},
      {"[::1]:5000/app", "[::1]:5000/app:latest"},
      {"Registry/app", "Registry/app:latest"},
      {"a.b/c__d/e--f.g_h", "a.b/c__d/e--f.g_h:latest"},
      {"busybox@sha256:" + kHex, "docker.io/library/busybox@sha256:" + kHex},
      {"busybox:1@sha256:" + kHex, "docker.io/library/busybox:1@sha256:" + kHex},
  };
  for (const auto& [text, normalized] : table) {
    CAPTURE(text);
    const auto result = NormalizeReference(text);
    REQUIRE(result.ok());
    CHECK(*result == normalized);
    // What is normal stays as it is.
    CHECK(*NormalizeReference(*result) == normalized);
  }
}

TEST_CASE("what is no reference is refused as BAD_REFERENCE") {
  const std::vector<std::string> table = {
      "",
      " ",
      "busy box",
      "busybox ",
      "-v",
      "--creds=a:b",
      "-x/app",
      "app:-tag",
      "app:.tag",
      "app:",
      "app:t/",
      "/app",
      "app/",
      "a//b",
      "a/../b",
      "../b",
      "a.b/..",
      "App",
      "a.b/App",
      "a___b",
      "a..b/",
      "docker.io/a..b",
      "docker.io/a-",
      "docker.io/.a",
      "docker://busybox",
      "http://127.0.0.1/app",
      "host:0/app",
      "host:65536/app",
      "host:12x/app",
      "host:/app",
      "host.-a/app",
      "[::1/app",
      "[::zz]/app",
      "[::1]x/app",
      "app@sha256:" + kHex.substr(1),
      "app@sha256:" + std::string(64, 'A'),
      "app@md5:" + kHex,
      "app@sha256:" + kHex + "@sha256:" + kHex,
      "@sha256:" + kHex,
      kHex,
      "app\n",
      "app;rm",
      "app$(x)",
      std::string("app\0x", 5),
      "caf\xc3\xa9",
      "bad\xff\xfe",
      std::string(5000, 'a'),
      "app:" + std::string(129, 't'),
      "a.b/" + std::string(256, 'x'),
  };
  for (const std::string& text : table) {
    CAPTURE(text);
    const auto result = NormalizeReference(text);
    REQUIRE_FALSE(result.ok());
    CHECK(result.status().code() == StatusCode::kInvalidArgument);
    CHECK(GetErrorDetail(result.status())->reason == "BAD_REFERENCE");
  }
}

TEST_CASE("only literal loopback hosts are loopback") {
  const std::vector<std::pair<std::string, bool>> table = {
      {"localhost/a", true},
      {"localhost:1/a", true},
      {"127.0.0.1/a", true},
      {"127.255.3.4:5/a", true},
      {"[::1]/a", true},
      {"[::1]:5/a", true},
      {"[0:0:0:0:0:0:0:1]/a", true},
      {"128.0.0.1/a", false},
      {"10.0.0.1:5/a", false},
      {"localhost.evil.org/a", false},
      {"127.0.0.1.nip.io/a", false},
      {"[::2]/a", false},
      {"[::ffff:10.0.0.1]/a", false},
      {"busybox", false},
      {"127.1/a", false},
  };
  for (const auto& [text, loopback] : table) {
    CAPTURE(text);
    const auto reference = ParseReference(text);
    REQUIRE(reference.ok());
    CHECK(reference->IsLoopback() == loopback);
  }
}

TEST_CASE("a digest wins over a tag when fetching") {
  const auto both = ParseReference("q.io/app:v1@sha256:" + kHex);
  REQUIRE(both.ok());
  CHECK(both->ForFetch() == "q.io/app@sha256:" + kHex);
  CHECK(ParseReference("q.io/app:v1")->ForFetch() == "q.io/app:v1");
}

}  // namespace
}  // namespace claw::image
