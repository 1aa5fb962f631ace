#include "drivers/image/source.h"

#include <catch2/catch.hpp>

namespace claw::image {
namespace {

TEST_CASE("sources are taken apart") {
  const auto oci = ParseSource("oci:/srv/my layout:v1");
  REQUIRE(oci.ok());
  CHECK(oci->kind == ImportSource::Kind::kOci);
  CHECK(oci->path == "/srv/my layout");
  CHECK(oci->name == "v1");
  CHECK(oci->ForFetch() == "oci:/srv/my layout:v1");
  const auto archive = ParseSource("docker-archive:/a.tar:busybox");
  REQUIRE(archive.ok());
  CHECK(archive->ForFetch() == "docker-archive:/a.tar:docker.io/library/busybox:latest");
  CHECK(ParseSource("oci-archive:/a.tar")->ForFetch() == "oci-archive:/a.tar");
  CHECK(ParseSource("rootfs:/srv/root")->kind == ImportSource::Kind::kRootfs);
  CHECK(ParseSource("dir:/srv/copy")->ForFetch() == "dir:/srv/copy");
}

TEST_CASE("what is no source is BAD_REFERENCE") {
  for (const std::string& text : std::vector<std::string>{"",
                                                          "oci",
                                                          "oci:",
                                                          "oci:relative",
                                                          "oci:/a/../b",
                                                          "oci:/..",
                                                          "oci:/a:",
                                                          "oci:/a:-x",
                                                          "oci:/a:t t",
                                                          "oci:/a\n",
                                                          "docker://busybox",
                                                          "containers-storage:/a",
                                                          "dir:/a:b",
                                                          "docker-daemon:/a",
                                                          "--help",
                                                          "rootfs:/a:b",
                                                          "rootfs:a",
                                                          "docker-archive:/a:Upper",
                                                          "OCI:/a",
                                                          std::string("oci:/a\0b", 8),
                                                          "oci:/" + std::string(5000, 'a'),
                                                          "oci:/a:" + std::string(300, 't')}) {
    CAPTURE(text);
    const auto source = ParseSource(text);
    REQUIRE_FALSE(source.ok());
    CHECK(GetErrorDetail(source.status())->reason == "BAD_REFERENCE");
  }
}

}  // namespace
}  // namespace claw::image
