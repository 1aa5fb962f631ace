#include "agent/base/file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "tests/support/temp_dir.h"

namespace claw {
namespace {

namespace fs = std::filesystem;
using test::TempDir;

mode_t ModeOf(const fs::path& path) {
  struct stat info {};
  REQUIRE(::stat(path.c_str(), &info) == 0);
  return info.st_mode & 07777;
}

TEST_CASE("a file is read whole, or the error says why not") {
  const TempDir dir;
  const fs::path file = dir.path() / "f";
  CHECK(ReadFile(file).status().code() == StatusCode::kNotFound);
  const std::string content = std::string(100'000, 'x') + '\0' + "end";
  REQUIRE(WriteFileAtomic(file, content).ok());
  CHECK(*ReadFile(file) == content);
  CHECK(ReadFile(file, static_cast<int64_t>(content.size())).ok());
  const Status too_large = ReadFile(file, static_cast<int64_t>(content.size()) - 1).status();
  CHECK(too_large.code() == StatusCode::kResourceExhausted);
  CHECK(GetErrorDetail(too_large)->reason == "FILE_TOO_LARGE");
  CHECK_FALSE(ReadFile(dir.path()).ok());
}

TEST_CASE("a file without a size is read all the same", "[linux]") {
  CHECK(ReadFile("/proc/self/status")->find("Name:") == 0);
}

TEST_CASE("an atomic write replaces all or nothing and leaves no litter") {
  const TempDir dir;
  const fs::path file = dir.path() / "f";
  REQUIRE(WriteFileAtomic(file, "a longer text", 0640, true).ok());
  CHECK(ModeOf(file) == 0640);
  REQUIRE(WriteFileAtomic(file, "short").ok());
  CHECK(*ReadFile(file) == "short");
  CHECK(ModeOf(file) == 0600);
  CHECK(*ListDirectory(dir.path()) == std::vector<std::string>{"f"});

  SECTION("the name is taken by a folder") {
    const fs::path folder = dir.path() / "folder";
    REQUIRE(EnsureDirectory(folder / "inner").ok());
    CHECK_FALSE(WriteFileAtomic(folder, "x").ok());
    CHECK(*ListDirectory(dir.path()) == std::vector<std::string>{"f", "folder"});
  }
  SECTION("a symbolic link is replaced, not followed") {
    const fs::path link = dir.path() / "link";
    fs::create_symlink(file, link);
    REQUIRE(WriteFileAtomic(link, "new").ok());
    CHECK(*ReadFile(file) == "short");
    CHECK(fs::is_regular_file(fs::symlink_status(link)));
  }
  SECTION("the folder is missing") {
    CHECK(WriteFileAtomic(dir.path() / "no/f", "x").code() == StatusCode::kNotFound);
  }
}

TEST_CASE("WriteExisting neither creates nor truncates") {
  const TempDir dir;
  const fs::path file = dir.path() / "f";
  CHECK(WriteExisting(file, "x").code() == StatusCode::kNotFound);
  CHECK_FALSE(fs::exists(file));
  REQUIRE(WriteFileAtomic(file, "abcdef").ok());
  REQUIRE(WriteExisting(file, "12").ok());
  CHECK(*ReadFile(file) == "12cdef");
}

TEST_CASE("folders are made with all above them") {
  const TempDir dir;
  const fs::path folder = dir.path() / "a/b/c";
  REQUIRE(EnsureDirectory(folder, 0710).ok());
  CHECK(ModeOf(folder) == 0710);
  REQUIRE(EnsureDirectory(folder, 0700).ok());
  CHECK(ModeOf(folder) == 0710);  // it was there
  REQUIRE(WriteFileAtomic(dir.path() / "f", "").ok());
  CHECK(EnsureDirectory(dir.path() / "f").code() == StatusCode::kFailedPrecondition);
  CHECK_FALSE(EnsureDirectory(dir.path() / "f/g").ok());
}

TEST_CASE("removing a tree does not follow links out of it") {
  const TempDir dir;
  const fs::path inside = dir.path() / "tree";
  const fs::path outside = dir.path() / "outside";
  REQUIRE(EnsureDirectory(inside / "deep/er").ok());
  REQUIRE(EnsureDirectory(outside).ok());
  REQUIRE(WriteFileAtomic(outside / "kept", "x").ok());
  fs::create_directory_symlink(outside, inside / "deep/link");
  REQUIRE(RemoveTree(inside).ok());
  CHECK_FALSE(fs::exists(inside));
  CHECK(fs::exists(outside / "kept"));
  CHECK(RemoveTree(inside).ok());
  fs::create_directory_symlink(outside, dir.path() / "link");
  REQUIRE(RemoveTree(dir.path() / "link").ok());
  CHECK(fs::exists(outside / "kept"));
}

TEST_CASE("folders are listed in order") {
  const TempDir dir;
  for (const char* name : {"b", "a", ".hidden"}) std::ofstream(dir.path() / name) << "x";
  CHECK(*ListDirectory(dir.path()) == std::vector<std::string>{".hidden", "a", "b"});
  CHECK(ListDirectory(dir.path() / "no").status().code() == StatusCode::kNotFound);
}

TEST_CASE("free space is told") {
  const TempDir dir;
  CHECK(*FreeDiskBytes(dir.path()) > 0);
  CHECK(FreeDiskBytes(dir.path() / "no").status().code() == StatusCode::kNotFound);
}

TEST_CASE("a descriptor has one owner") {
  UniqueFd first(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  REQUIRE(first.valid());
  const int number = first.get();
  UniqueFd second(std::move(first));
  CHECK_FALSE(first.valid());  // NOLINT(bugprone-use-after-move): that is the promise
  CHECK(second.get() == number);
  second.reset();
  CHECK(::fcntl(number, F_GETFD) == -1);
}

}  // namespace
}  // namespace claw
