#include "agent/host/linux/cgroup_hierarchies.h"

#include <catch2/catch.hpp>

#include "agent/base/file.h"
#include "tests/support/temp_dir.h"

namespace claw::host {
namespace {

// Recorded texts of /proc/self/mountinfo, shortened to the lines that matter.
constexpr std::string_view kV1 =
    "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
    "31 23 0:28 / /sys/fs/cgroup ro,nosuid shared:4 - tmpfs tmpfs ro,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/systemd rw,nosuid shared:5 - cgroup cgroup rw,xattr,name=systemd\n"
    "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:6 - cgroup cgroup rw,cpu,cpuacct\n"
    "34 31 0:32 / /sys/fs/cgroup/memory rw,nosuid shared:7 - cgroup cgroup rw,memory\n"
    "35 31 0:33 / /sys/fs/cgroup/pids rw,nosuid shared:8 master:2 - cgroup cgroup rw,pids\n";

constexpr std::string_view kUnified =
    "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

std::string V2At(const std::filesystem::path& folder) {
  return StrCat("24 1 0:22 / /sys rw - sysfs sysfs rw\n", "30 24 0:26 / ", folder.string(),
                " rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n");
}

std::string Without(std::string_view text, std::string_view word) {
  std::string kept;
  for (const std::string_view line : Split(text, '\n', true)) {
    if (line.find(word) == std::string_view::npos) kept += StrCat(line, "\n");
  }
  return kept;
}

TEST_CASE("v1: each controller has its mount point") {
  const auto found = ParseHierarchies(kV1);
  REQUIRE(found.ok());
  CHECK(found->mode == "v1");
  CHECK(found->by_controller.at("memory") == "/sys/fs/cgroup/memory");
  CHECK(found->by_controller.at("cpu") == "/sys/fs/cgroup/cpu,cpuacct");
  CHECK(found->by_controller.at("cpuacct") == "/sys/fs/cgroup/cpu,cpuacct");
  CHECK(found->by_controller.at("pids") == "/sys/fs/cgroup/pids");
  CHECK(found->roots.size() == 4);  // shared ones once
}

TEST_CASE("hybrid: v1 controllers beside a bare v2, which comes last") {
  const auto found = ParseHierarchies(StrCat(kUnified, kV1));
  REQUIRE(found.ok());
  CHECK(found->mode == "hybrid");
  CHECK(found->by_controller.at("memory") == "/sys/fs/cgroup/memory");
  CHECK(found->roots.size() == 5);
  CHECK(found->roots.back() == "/sys/fs/cgroup/unified");
}

TEST_CASE("v2: one for all, if its root hands out the controllers") {
  const test::TempDir dir;
  const auto controllers = dir.path() / "cgroup.controllers";
  SECTION("it does") {
    REQUIRE(WriteFileAtomic(controllers, "cpuset cpu io memory hugetlb pids rdma\n").ok());
    const auto found = ParseHierarchies(V2At(dir.path()));
    REQUIRE(found.ok());
    CHECK(found->mode == "v2");
    CHECK(found->roots == std::vector<std::filesystem::path>{dir.path()});
  }
  SECTION("a part of it that is mounted elsewhere does not count") {
    REQUIRE(WriteFileAtomic(controllers, "cpu memory pids\n").ok());
    const std::string part = "29 24 0:26 /a/b /mnt/part rw - cgroup2 cgroup2 rw\n";
    CHECK(ParseHierarchies(part + V2At(dir.path()))->roots.front() == dir.path());
    CHECK(GetErrorDetail(ParseHierarchies(part).status())->reason == "CGROUP_MISSING");
  }
  SECTION("it has no memory controller") {
    REQUIRE(WriteFileAtomic(controllers, "cpu pids memoryless\n").ok());
    const Status status = ParseHierarchies(V2At(dir.path())).status();
    CHECK(status.code() == StatusCode::kFailedPrecondition);
    CHECK(GetErrorDetail(status)->reason == "CGROUP_MISSING");
    CHECK(GetErrorDetail(status)->constraint == "memory");
  }
  SECTION("it cannot be read") { CHECK_FALSE(ParseHierarchies(V2At(dir.path())).ok()); }
}

TEST_CASE("a controller that is missing is named") {
  for (const std::string_view controller : {"memory", "pids"}) {
    const Status status = ParseHierarchies(Without(kV1, controller)).status();
    CHECK(status.code() == StatusCode::kFailedPrecondition);
    CHECK(GetErrorDetail(status)->constraint == controller);
  }
  CHECK(GetErrorDetail(ParseHierarchies(Without(kV1, "cpuacct")).status())->constraint == "cpu");
  CHECK(GetErrorDetail(ParseHierarchies("").status())->constraint == "memory");
}

TEST_CASE("lines that are no mounts are passed over") {
  CHECK(ParseHierarchies(StrCat("\n - \nx - cgroup\n1 2 3 / - cgroup cgroup rw,memory\n", kV1))
            ->by_controller.at("memory") == "/sys/fs/cgroup/memory");
}

TEST_CASE("a cgroup is below another by whole names") {
  CHECK(IsBelow("/a/b", "a/b"));
  CHECK(IsBelow("/a/b/c", "a/b"));
  CHECK_FALSE(IsBelow("/a/bc", "a/b"));
  CHECK_FALSE(IsBelow("/a", "a/b"));
  CHECK_FALSE(IsBelow("/x/a/b", "a/b"));
  CHECK_FALSE(IsBelow("a/b", "a/b"));
  CHECK_FALSE(IsBelow("", "a"));
}

}  // namespace
}  // namespace claw::host
