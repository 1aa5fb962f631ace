#include <fcntl.h>
#include <sys/stat.h>

#include <map>
#include <thread>
#include <vector>

#include "agent/base/digest.h"
#include "drivers/image/manifest.h"
#include "tests/integration/image/store_fixture.h"
#include "tests/support/registry.h"

namespace claw::image {
namespace {

namespace fs = std::filesystem;
using test::BusyboxImage;
using test::Registry;

std::string OtherArchitecture() { return MachineArchitecture() == "arm64" ? "amd64" : "arm64"; }

TEST_CASE("an image is pulled by tag, with its files, its config and its digest") {
  StoreFixture fixture;
  const Registry registry(fixture.work() / "registry");
  test::ImageSpec spec = BusyboxImage();
  spec.layers.push_back({.entries = {{.name = "etc/passwd", .content = "app:x:1000:100::/:\n"},
                                     {.name = "etc/group", .content = "staff:x:50:app\n"}},
                         .compression = "zstd"});
  spec.process_json = R"({"Entrypoint":["/bin/sh"],"Cmd":["-c","true"],"Env":["A=b"],
                          "WorkingDir":"/srv","User":"app"})";
  const std::string digest = test::WriteOciLayout(fixture.work() / "layout", spec);
  registry.Push(fixture.work() / "layout", "team/app:v1");

  std::vector<std::string> phases;
  const std::string reference = registry.host() + "/team/app:v1";
  const auto image = fixture.store().Pull(
      reference, "", true, "",
      [&](std::string_view phase, std::string_view) { phases.emplace_back(phase); });
  REQUIRE_OK(image.status());
  CHECK(image->digest == digest);
  CHECK(image->names == std::vector<std::string>{reference});
  CHECK(image->architecture == MachineArchitecture());
  CHECK(image->os == "linux");
  CHECK(image->entrypoint == std::vector<std::string>{"/bin/sh"});
  CHECK(image->command == std::vector<std::string>{"-c", "true"});
  CHECK(image->env == std::vector<std::string>{"A=b"});
  CHECK(image->working_directory == "/srv");
  CHECK(image->uid == 1000);
  CHECK(image->gid == 100);
  CHECK(image->additional_gids == std::vector<int64_t>{50});
  CHECK(image->size_bytes > 1'000'000);
  CHECK(ToMicros(image->created_at) > 0);
  CHECK(phases ==
        std::vector<std::string>{"resolving", "fetching", "checking", "unpacking", "done"});

  const fs::path rootfs = fixture.store().RootfsPath(digest);
  CHECK(test::ReadBytes(rootfs / "bin/sh") == test::ReadBytes("/bin/busybox"));
  struct stat info {};
  REQUIRE(::stat(rootfs.c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0755);
  REQUIRE(::stat(fixture.root().c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0700);
  CHECK(fixture.TmpIsEmpty());
}

TEST_CASE("pulling again does nothing, by digest finds the same, and a new tag is one more name") {
  StoreFixture fixture;
  Registry registry(fixture.work() / "registry");
  const std::string digest = test::WriteOciLayout(fixture.work() / "layout", BusyboxImage());
  registry.Push(fixture.work() / "layout", "app:v1");
  registry.Push(fixture.work() / "layout", "app:v2");
  const std::string name = registry.host() + "/app";
  const auto first = fixture.Pull(name + ":v1");
  REQUIRE_OK(first.status());
  struct stat before {};
  REQUIRE(::stat(fixture.store().RootfsPath(digest).c_str(), &before) == 0);

  std::vector<std::string> phases;
  const auto again = fixture.store().Pull(
      name + ":v1", "", true, "",
      [&](std::string_view phase, std::string_view) { phases.emplace_back(phase); });
  REQUIRE_OK(again.status());
  CHECK(*again == *first);
  CHECK(phases == std::vector<std::string>{"resolving", "done"});

  const auto by_digest = fixture.Pull(name + "@" + digest);
  REQUIRE_OK(by_digest.status());
  CHECK(by_digest->digest == digest);
  const auto second_tag = fixture.Pull(name + ":v2");
  REQUIRE_OK(second_tag.status());
  CHECK(second_tag->names ==
        std::vector<std::string>{name + ":v1", name + "@" + digest, name + ":v2"});
  struct stat after {};
  REQUIRE(::stat(fixture.store().RootfsPath(digest).c_str(), &after) == 0);
  CHECK(after.st_ino == before.st_ino);
  CHECK(fixture.CountImages() == 1);
}

TEST_CASE("a tag that moves takes its name along") {
  StoreFixture fixture;
  const Registry registry(fixture.work() / "registry");
  const std::string name = registry.host() + "/app:latest";
  const std::string old_digest = test::WriteOciLayout(fixture.work() / "old", BusyboxImage());
  registry.Push(fixture.work() / "old", "app:latest");
  REQUIRE_OK(fixture.Pull(name).status());

  test::ImageSpec changed = BusyboxImage();
  changed.layers.push_back({.entries = {{.name = "new", .content = "x"}}});
  test::WriteOciLayout(fixture.work() / "new", changed);
  registry.Push(fixture.work() / "new", "app:latest");
  const auto image = fixture.Pull(name);
  REQUIRE_OK(image.status());
  CHECK(image->digest != old_digest);
  const auto scan = fixture.store().ScanDisk();
  REQUIRE_OK(scan.status());
  REQUIRE(scan->images.size() == 2);
  for (const Image& found : scan->images) {
    CHECK(found.names.empty() == (found.digest == old_digest));
  }
}

TEST_CASE("an image in Docker's format keeps the digest that its registry has") {
  StoreFixture fixture;
  const Registry registry(fixture.work() / "registry");
  const std::string oci_digest = test::WriteOciLayout(fixture.work() / "layout", BusyboxImage());
  registry.Push(fixture.work() / "layout", "app:v1", "v2s2");
  const auto image = fixture.Pull(registry.host() + "/app:v1");
  REQUIRE_OK(image.status());
  CHECK(image->digest != oci_digest);
  const auto by_digest = fixture.Pull(registry.host() + "/app@" + image->digest);
  REQUIRE_OK(by_digest.status());
  CHECK(by_digest->digest == image->digest);
  CHECK(fs::exists(fixture.store().RootfsPath(image->digest) / "bin/busybox"));
}

TEST_CASE("of an index this machine's image is taken; none for it is refused") {
  StoreFixture fixture;
  const Registry registry(fixture.work() / "registry");
  test::ImageSpec other = BusyboxImage();
  other.architecture = OtherArchitecture();
  test::ImageSpec third = BusyboxImage();
  third.architecture = "s390x";
  const auto digests = test::WriteOciIndex(fixture.work() / "both", {other, third, BusyboxImage()});
  registry.Push(fixture.work() / "both", "app:both");
  test::WriteOciIndex(fixture.work() / "none", {other, third});
  registry.Push(fixture.work() / "none", "app:none");
  test::WriteOciLayout(fixture.work() / "single", other);
  registry.Push(fixture.work() / "single", "app:single");

  for (const char* tag : {":none", ":single"}) {
    const auto refused = fixture.Pull(registry.host() + "/app" + tag);
    CAPTURE(tag, Shown(refused.status()));
    CHECK(refused.status().code() == StatusCode::kInvalidArgument);
    CHECK(ReasonOf(refused.status()) == "UNSUPPORTED_ARCHITECTURE");
    fixture.CheckNothingLeft();
  }
  const auto image = fixture.Pull(registry.host() + "/app:both");
  REQUIRE_OK(image.status());
  CHECK(image->digest == digests[2]);
  CHECK(image->architecture == MachineArchitecture());
}

TEST_CASE("a name stands for one image of each architecture") {
  StoreFixture fixture;
  const Registry registry(fixture.work() / "registry");
  const std::string name = registry.host() + "/app:v1";
  test::ImageSpec other = BusyboxImage();
  other.architecture = OtherArchitecture();
  const auto digests = test::WriteOciIndex(fixture.work() / "both", {other, BusyboxImage()});
  registry.Push(fixture.work() / "both", "app:v1");

  const auto own = fixture.Pull(name);
  REQUIRE_OK(own.status());
  const auto foreign = fixture.Pull(name, OtherArchitecture());
  REQUIRE_OK(foreign.status());
  CHECK(own->digest == digests[1]);
  CHECK(foreign->digest == digests[0]);
  CHECK(foreign->architecture == OtherArchitecture());
  const auto names = [&] {
    std::map<std::string, std::vector<std::string>> by_digest;
    const auto scan = fixture.store().ScanDisk();
    REQUIRE_OK(scan.status());
    for (const Image& image : scan->images) by_digest[image.digest] = image.names;
    return by_digest;
  };
  using Names = std::vector<std::string>;
  CHECK(names() == std::map<std::string, Names>{{digests[0], {name}}, {digests[1], {name}}});

  // The tag moves for one of them: the other keeps its name.
  test::ImageSpec changed = other;
  changed.layers.push_back({.entries = {{.name = "new", .content = "x"}}});
  const std::string moved = test::WriteOciLayout(fixture.work() / "moved", changed);
  registry.Push(fixture.work() / "moved", "app:v1");
  REQUIRE_OK(fixture.Pull(name, OtherArchitecture()).status());
  CHECK(names() ==
        std::map<std::string, Names>{{digests[0], {}}, {digests[1], {name}}, {moved, {name}}});
  // What is there for one architecture is no answer to who asks for another.
  CHECK(ReasonOf(fixture.Pull(registry.host() + "/app@" + moved).status()) ==
        "UNSUPPORTED_ARCHITECTURE");
}

TEST_CASE("an image for other architectures is refused before its layers are fetched") {
  StoreFixture fixture;
  const Registry registry(fixture.work() / "registry");
  test::ImageSpec other = BusyboxImage();
  other.architecture = OtherArchitecture();
  test::WriteOciLayout(fixture.work() / "single", other);
  registry.Push(fixture.work() / "single", "app:single");
  std::vector<std::string> phases;
  const auto image = fixture.store().Pull(
      registry.host() + "/app:single", "", true, "",
      [&](std::string_view phase, std::string_view) { phases.emplace_back(phase); });
  CHECK(ReasonOf(image.status()) == "UNSUPPORTED_ARCHITECTURE");
  CHECK(GetErrorDetail(image.status())->needed == "linux/" + OtherArchitecture());
  CHECK(phases == std::vector<std::string>{"resolving"});

  // Of an index it is told what there is.
  test::ImageSpec third = BusyboxImage();
  third.architecture = "s390x";
  test::WriteOciIndex(fixture.work() / "none", {other, third});
  registry.Push(fixture.work() / "none", "app:none");
  const auto none = fixture.Pull(registry.host() + "/app:none");
  CHECK(GetErrorDetail(none.status())->needed == "linux/" + OtherArchitecture() + ", linux/s390x");
}

TEST_CASE("what a registry refuses or does not have is told apart from one that is down") {
  StoreFixture fixture;
  Registry registry(fixture.work() / "registry");
  test::WriteOciLayout(fixture.work() / "layout", BusyboxImage());
  registry.Push(fixture.work() / "layout", "app:v1");
  const std::string host = registry.host();

  for (const std::string& missing : {host + "/app:v2", host + "/unauthorized/nosuch:v1",
                                     host + "/app@sha256:" + std::string(64, '0')}) {
    const auto image = fixture.Pull(missing);
    CAPTURE(missing, Shown(image.status()));
    CHECK(image.status().code() == StatusCode::kNotFound);
    CHECK(ReasonOf(image.status()) == "IMAGE_NOT_FOUND");
  }
  // Plain HTTP is not spoken unless it is asked for.
  const auto secure = fixture.store().Pull(host + "/app:v1", "", false, "", {});
  CHECK(ReasonOf(secure.status()) == "REGISTRY_UNREACHABLE");

  registry.Stop();
  const auto down = fixture.Pull(host + "/app:v1");
  CHECK(down.status().code() == StatusCode::kUnavailable);
  CHECK(ReasonOf(down.status()) == "REGISTRY_UNREACHABLE");
  CHECK(GetErrorDetail(down.status())->retry_after.has_value());
  fixture.CheckNothingLeft();
}

TEST_CASE("a registry that wants a login denies") {
  StoreFixture fixture;
  const Registry registry(fixture.work() / "registry", {.require_login = true});
  const auto image = fixture.Pull(registry.host() + "/app:v1");
  CAPTURE(Shown(image.status()));
  CHECK(image.status().code() == StatusCode::kPermissionDenied);
  CHECK(ReasonOf(image.status()) == "REGISTRY_DENIED");
  fixture.CheckNothingLeft();
}

TEST_CASE("plain HTTP is for loopback only, and no bad reference gets to a registry") {
  StoreFixture fixture;
  const auto remote = fixture.Pull("registry.example.org/app:v1");
  CHECK(remote.status().code() == StatusCode::kInvalidArgument);
  CHECK(ReasonOf(remote.status()) == "INSECURE_REGISTRY");
  for (const std::string& bad : {std::string("--help"), std::string("a b"), std::string("x\xff")}) {
    CHECK(ReasonOf(fixture.Pull(bad).status()) == "BAD_REFERENCE");
  }
  fixture.CheckNothingLeft();
}

TEST_CASE("pulls of one image at once do the work once") {
  StoreFixture fixture;
  const Registry registry(fixture.work() / "registry");
  const std::string digest = test::WriteOciLayout(fixture.work() / "layout", BusyboxImage());
  registry.Push(fixture.work() / "layout", "app:v1");
  constexpr size_t kPulls = 4;
  std::vector<StatusOr<Image>> images(kPulls, Internal("not run"));
  std::vector<int> unpacked(kPulls, 0);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kPulls; ++i) {
    threads.emplace_back([&, i] {
      images[i] = fixture.store().Pull(registry.host() + "/app:v1", "", true, "",
                                       [&, i](std::string_view phase, std::string_view) {
                                         if (phase == "unpacking") ++unpacked[i];
                                       });
    });
  }
  for (std::thread& thread : threads) thread.join();
  int work = 0;
  for (size_t i = 0; i < kPulls; ++i) {
    REQUIRE_OK(images[i].status());
    CHECK(images[i]->digest == digest);
    work += unpacked[i];
  }
  CHECK(work == 1);
  CHECK(fixture.TmpIsEmpty());
}

TEST_CASE("more than allowed is refused before it is fetched") {
  StoreFixture fixture({.max_image_bytes = 100 * kKiB});
  const Registry registry(fixture.work() / "registry");
  test::WriteOciLayout(fixture.work() / "layout", BusyboxImage());
  registry.Push(fixture.work() / "layout", "app:v1");
  std::vector<std::string> phases;
  const auto image = fixture.store().Pull(
      registry.host() + "/app:v1", "", true, "",
      [&](std::string_view phase, std::string_view) { phases.emplace_back(phase); });
  CHECK(ReasonOf(image.status()) == "IMAGE_TOO_LARGE");
  CHECK(phases == std::vector<std::string>{"resolving"});
  fixture.CheckNothingLeft();
}

}  // namespace
}  // namespace claw::image
