#include "drivers/image/manifest.h"

#include <catch2/catch.hpp>

namespace claw::image {
namespace {

const std::string kA = "sha256:" + std::string(64, 'a');
const std::string kB = "sha256:" + std::string(64, 'b');
const std::string kC = "sha256:" + std::string(64, 'c');

std::string ReasonOf(const Status& status) {
  const auto detail = GetErrorDetail(status);
  return detail ? detail->reason : "";
}

StatusOr<Manifest> Parse(const std::string& text) {
  ASSIGN_OR_RETURN(const auto json, ParseJson(text, "test"));
  return ParseManifest(json);
}

TEST_CASE("manifests of OCI and Docker name config and layers") {
  const auto manifest = Parse(R"({"schemaVersion":2,"config":{"digest":")" + kA +
                              R"(","size":7},"layers":[{"digest":")" + kB + R"(","size":9}]})");
  REQUIRE(manifest.ok());
  CHECK(manifest->config.digest == kA);
  CHECK(manifest->config.size_bytes == 7);
  REQUIRE(manifest->layers.size() == 1);
  CHECK(manifest->layers[0].digest == kB);
  CHECK(manifest->layers[0].size_bytes == 9);
}

TEST_CASE("hostile manifests are CORRUPT_IMAGE") {
  const std::string config = R"("config":{"digest":")" + kA + R"(","size":7})";
  for (const std::string& text : std::vector<std::string>{
           "{}", "[]", R"({"schemaVersion":1,)" + config + "}", R"({"schemaVersion":"2"})",
           R"({"config":{"digest":"sha256:../../../etc/passwd","size":1}})",
           R"({"config":{"digest":"sha512:00","size":1}})", R"({"config":[]})",
           "{" + config + R"(,"layers":{}})", "{" + config + R"(,"layers":[5]})",
           "{" + config + R"(,"layers":[{"digest":5,"size":1}]})",
           "{" + config + R"(,"layers":[{"digest":")" + kB + R"(","size":-1}]})",
           "{" + config + R"(,"layers":[{"digest":")" + kB + R"(","size":18446744073709551615}]})",
           "{" + config + R"(,"layers":[{"digest":")" + kB + R"(","size":1.5}]})"}) {
    CAPTURE(text);
    CHECK(ReasonOf(Parse(text).status()) == "CORRUPT_IMAGE");
  }
  std::string many = "{" + config + R"(,"layers":[)";
  for (int i = 0; i < 600; ++i) {
    many += (i > 0 ? "," : "") + (R"({"digest":")" + kB + R"(","size":1})");
  }
  CHECK(ReasonOf(Parse(many + "]}").status()) == "CORRUPT_IMAGE");
}

TEST_CASE("the index gives this machine's manifest, the base variant") {
  const std::vector<PlatformManifest> index = {
      {{kA, 1}, "linux", "amd64", "v3"},
      {{kB, 1}, "linux", "amd64", ""},
      {{kC, 1}, "linux", "arm64", "v8"},
      {{kA, 1}, "windows", "riscv64", ""},
  };
  CHECK(ChoosePlatform(index, "amd64")->digest == kB);
  CHECK(ChoosePlatform(index, "arm64")->digest == kC);
  const auto none = ChoosePlatform(index, "riscv64");
  CHECK(ReasonOf(none.status()) == "UNSUPPORTED_ARCHITECTURE");
  CHECK(GetErrorDetail(none.status())->needed.find("linux/arm64/v8") != std::string::npos);
}

}  // namespace
}  // namespace claw::image
