#include "agent/host/process_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "agent/base/bytes.h"
#include "agent/base/file.h"
#include "tests/support/temp_dir.h"

namespace claw::host {
namespace {

constexpr char kSmaps[] =
    "555500000000-555500010000 r-xp 00000000 08:01 42 /usr/bin/qemu-system-aarch64\n"
    "Size:                 64 kB\nRss:                  60 kB\nPss:  6 kB\n"
    "7f0000000000-7f0040000000 rw-p 00000000 00:00 0 \n"
    "Size:            1048576 kB\nRss:              500000 kB\nVmFlags: rd wr mr mw\n"
    "7f0050000000-7f0058000000 rwxp 00000000 00:00 0 [anon: a-b c]\n"
    "Rss:                4096 kB\n";

class Fixture {
 public:
  Fixture() { std::filesystem::create_directory(dir_.path() / "7"); }
  StatusOr<int64_t> Read(const std::string& smaps, int64_t guest_bytes) {
    const std::filesystem::path folder = dir_.path() / "7";
    REQUIRE(WriteFileAtomic(folder / "smaps", smaps, 0600, false).ok());
    REQUIRE(
        WriteFileAtomic(folder / "status", "Name:\tqemu\nVmPTE:\t     100 kB\n", 0600, false).ok());
    return ResidentBeside(7, guest_bytes, dir_.path());
  }

 private:
  test::TempDir dir_;
};

TEST_CASE("what a hypervisor holds beside its guest is all but the guest's mapping") {
  Fixture fixture;
  CHECK(*fixture.Read(kSmaps, kGiB) == (60 + 4096 + 100) * kKiB);
}

TEST_CASE("a guest's memory that is not one mapping of its own makes the rest unknown") {
  Fixture fixture;
  CHECK(fixture.Read(kSmaps, 2 * kGiB).status().code() == StatusCode::kNotFound);
  CHECK(fixture.Read(kSmaps, 512 * kMiB).status().code() == StatusCode::kNotFound);
  const std::string two =
      std::string(kSmaps) + "7f1000000000-7f1040000000 rw-p 0 0:0 0\nRss: 1 kB\n";
  CHECK(fixture.Read(two, kGiB).status().code() == StatusCode::kNotFound);
  CHECK(ResidentBeside(8, kGiB, "/nowhere").status().code() == StatusCode::kNotFound);
}

TEST_CASE("this kernel tells it of a process that has such a mapping") {
  constexpr size_t kSize = 777 * kMiB;
  void* const memory =
      ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(memory != MAP_FAILED);
  static_cast<char*>(memory)[0] = 'x';
  const auto beside = ResidentBeside(::getpid(), kSize);
  ::munmap(memory, kSize);
  INFO(ToLogString(beside.status()));
  REQUIRE(beside.ok());
  CHECK(*beside > kMiB);
  CHECK(*beside < 777 * kMiB);
}

}  // namespace
}  // namespace claw::host
