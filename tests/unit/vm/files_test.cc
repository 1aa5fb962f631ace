#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "agent/base/bytes.h"
#include "agent/base/digest.h"
#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "agent/base/subprocess.h"
#include "agent/config.h"
#include "tests/support/guest_image_folder.h"
#include "tests/support/temp_dir.h"
#include "vm/guest_image.h"
#include "vm/libvirt/embedded.h"
#include "vm/machine_files.h"
#include "vm/seed.h"

namespace claw::vm {
namespace {

namespace fs = std::filesystem;

std::string ReasonOf(const Status& status) {
  return GetErrorDetail(status).value_or(ErrorDetail{}).reason;
}

TEST_CASE("the seed is a tar that a guest can read, whole sectors, and nobody else's to read") {
  const test::TempDir dir;
  const fs::path seed = dir.path() / "seed.img";
  REQUIRE(WriteSeed(seed, {{.name = "config.toml", .content = "[node]\n"},
                           {.name = "guest.key", .content = std::string(5000, 'k')}})
              .ok());
  struct stat info {};
  REQUIRE(::stat(seed.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  CHECK(info.st_size % 4096 == 0);
  // As the guest's init does.
  fs::create_directories(dir.path() / "out");
  REQUIRE(RunOrError({.argv = {"busybox", "tar", "-x", "-o", "-f", seed.string(), "-C",
                               (dir.path() / "out").string()}})
              .ok());
  CHECK(ReadFile(dir.path() / "out/config.toml").value() == "[node]\n");
  CHECK(ReadFile(dir.path() / "out/guest.key").value() == std::string(5000, 'k'));
  CHECK(ListDirectory(dir.path() / "out")->size() == 2);
}

TEST_CASE("a disk of state is sparse, keeps what is on it, and never shrinks") {
  const test::TempDir dir;
  const fs::path disk = dir.path() / "state.img";
  REQUIRE(MakeStateDisk(disk, kGiB).ok());
  struct stat info {};
  REQUIRE(::stat(disk.c_str(), &info) == 0);
  CHECK(info.st_size == kGiB);
  CHECK(info.st_blocks * 512 < kMiB);
  std::fstream(disk, std::ios::in | std::ios::out) << "kept";
  REQUIRE(MakeStateDisk(disk, 2 * kGiB).ok());
  CHECK(fs::file_size(disk) == 2 * kGiB);
  REQUIRE(MakeStateDisk(disk, kMiB).ok());
  CHECK(fs::file_size(disk) == 2 * kGiB);
  std::string word(4, ' ');
  std::ifstream(disk).read(word.data(), 4);
  CHECK(word == "kept");
  fs::create_symlink("/etc/passwd", dir.path() / "link");
  CHECK_FALSE(MakeStateDisk(dir.path() / "link", kMiB).ok());
}

TEST_CASE("a VM's folder has what its next boot needs, with new keys each time") {
  const test::TempDir dir;
  Vm vm;
  vm.spec = {.name = "mac1", .cpus = 1, .memory_bytes = kGiB, .disk_bytes = kGiB};
  const Time now = SystemClock().Now();
  const MachineFiles files(dir.path(), "mac1");
  const auto expires = files.Prepare(vm, "", now);
  REQUIRE(expires.ok());
  CHECK(*expires > now + std::chrono::hours(24 * 300));
  const auto first = files.ReadCredentials();
  REQUIRE(first.ok());
  REQUIRE(files.Prepare(vm, "", now).ok());
  const auto second = files.ReadCredentials();
  REQUIRE(second.ok());
  CHECK(first->key != second->key);
  for (const auto& entry : fs::directory_iterator(dir.path() / "mac1")) {
    struct stat info {};
    REQUIRE(::stat(entry.path().c_str(), &info) == 0);
    INFO(entry.path());
    CHECK((info.st_mode & 0077) == 0);
  }
  REQUIRE(files.Remove().ok());
  CHECK_FALSE(fs::exists(dir.path() / "mac1"));
  CHECK(files.Remove().ok());
}

TEST_CASE("the config that a guest gets is one that the agent takes") {
  const auto config =
      ParseConfig(GuestConfig("mac1", "[policy]\nrequire_signer = true\n"), "config.toml");
  INFO(ToLogString(config.status()));
  REQUIRE(config.ok());
  CHECK(config->role == NodeRole::kGuest);
  CHECK(config->require_signer);  // as its host has it
  CHECK(config->node_id == "mac1");
  CHECK(config->tls.listen == "0.0.0.0:50051");
  CHECK(config->tls.client_ca == "/run/clawlet-seed/authority.pem");
  CHECK(config->system_reserve_bytes == 64 * kMiB);
}

TEST_CASE("libvirt's sockets have to fit below its folder") {
  const test::TempDir dir;
  const auto uri = PrepareEmbedded(dir.path() / "vm");
  REQUIRE(uri.ok());
  CHECK(*uri == StrCat("qemu:///embed?root=", (dir.path() / "vm").string()));
  CHECK(fs::exists(dir.path() / "vm/etc/qemu.conf"));
  CHECK_FALSE(PrepareEmbedded(StrCat("/", std::string(60, 'a'))).ok());
  CHECK_FALSE(PrepareEmbedded("relative").ok());
  CHECK_FALSE(PrepareEmbedded("/tmp/a b").ok());
}

TEST_CASE("a guest image is what its manifest promises") {
  test::GuestImageFolder folder;
  const auto image = ReadGuestImage(folder.path());
  INFO(ToLogString(image.status()));
  REQUIRE(image.ok());
  CHECK(image->kernel == folder.path() / "vmlinuz");
  CHECK(image->root == folder.path() / "root.img");
  CHECK(image->command_line == "console=ttyAMA0");
  CHECK(image->facts.agent_version == "9.9");
  CHECK(image->facts.size_bytes == 10 + 13 + 8);
  REQUIRE(image->facts.packages.size() == 1);
  CHECK(image->facts.packages[0].name == "runsc");
}

TEST_CASE("a guest image that is not what it says is refused, and the error says what it is") {
  test::GuestImageFolder folder;
  const auto refused = [&folder](std::string_view why) {
    const Status status = ReadGuestImage(folder.path()).status();
    INFO(ToLogString(status));
    CHECK(ReasonOf(status) == "GUEST_IMAGE_BROKEN");
    CHECK(ToStd(status.message()).find(why) != std::string_view::npos);
  };
  SECTION("a file that has changed") {
    folder.Write("initramfs.img", "the initramfT");
    refused("initramfs.img is not what the manifest promises");
  }
  SECTION("a file that is gone") {
    fs::remove(folder.path() / "root.img");
    refused("root.img");
  }
  SECTION("a manifest that has changed") {
    folder.Replace("console=ttyAMA0", "init=/bin/sh");
    refused("its own digest");
  }
  SECTION("another architecture") {
    folder.Replace("\"arm64\"", "\"amd64\"");
    refused("amd64");
  }
  SECTION("another format") {
    folder.Replace("\"format\": 1", "\"format\": 2");
    refused("format");
  }
  SECTION("a way out of the folder") {
    folder.Replace("\"file\": \"vmlinuz\"", "\"file\": \"../vmlinuz\"");
    refused("outside of the folder");
  }
  SECTION("a size that is none") {
    folder.Replace("\"bytes\": 10", "\"bytes\": -10");
    refused("no size");
  }
  SECTION("a number that does not fit") {
    folder.Replace("\"bytes\": 10", "\"bytes\": 1e400");
    refused("cannot be read");
  }
  SECTION("a size that no disk has") {
    folder.Replace("\"bytes\": 10", "\"bytes\": 9223372036854775807");
    refused("no size");
  }
  SECTION("a size that is no whole number") {
    folder.Replace("\"bytes\": 10", "\"bytes\": 1e300");
    refused("whole number");
  }
  SECTION("a format that is 1 in 32 bits") {
    folder.Replace("\"format\": 1", "\"format\": 4294967297");
    refused("format");
  }
  SECTION("half a manifest") {
    folder.manifest.resize(folder.manifest.size() / 2);
    folder.Save();
    refused("cannot be read");
  }
  SECTION("bad UTF-8") {
    folder.Replace("6.1", "\xff");
    refused("cannot be read");
  }
}

TEST_CASE("where there is no guest image, the error says how to make one") {
  const test::TempDir dir;
  const Status status = ReadGuestImage(dir.path()).status();
  CHECK(ReasonOf(status) == "GUEST_IMAGE_MISSING");
  CHECK(ToStd(status.message()).find("tools/guest-image build") != std::string_view::npos);
}

}  // namespace
}  // namespace claw::vm
