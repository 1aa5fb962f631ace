#include "agent/host/cgroup.h"

#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <thread>

#include "agent/base/bytes.h"
#include "agent/base/file.h"
#include "agent/base/id.h"
#include "agent/base/subprocess.h"
#include "tests/support/temp_dir.h"

namespace claw::host {
namespace {

// Cgroups of its own on the real kernel, gone with it.
struct Fixture {
  Fixture() {
    auto detected = Cgroups::Detect();
    INFO(ToLogString(detected.status()));
    REQUIRE(detected.ok());
    cgroups = std::move(*detected);
  }
  ~Fixture() {
    cgroups->KillAll(path).IgnoreError();
    cgroups->Remove(path).IgnoreError();
  }

  // A process that sits in `in` until it is killed.
  Process Enter(const std::string& in) const {
    auto ready = MakePipe();
    REQUIRE(ready.ok());
    std::string script;
    for (const char* root : {"memory", "cpu", "cpuacct", "pids"}) {
      const std::string v1 = StrCat("/sys/fs/cgroup/", root, "/", in, "/cgroup.procs");
      script += StrCat("if test -e ", v1, "; then echo $$ > ", v1, "; fi; ");
    }
    const std::string v2 = StrCat("/sys/fs/cgroup/", in, "/cgroup.procs");
    script += StrCat("if test -e ", v2, "; then echo $$ > ", v2, "; fi; echo; exec sleep 1000");
    ProcessSpec spec;
    spec.argv = {"sh", "-c", script};
    spec.descriptors = {{ready->second.get(), 1}};
    auto process = Spawn(spec);
    REQUIRE(process.ok());
    char byte = 0;
    REQUIRE(::read(ready->first.get(), &byte, 1) == 1);
    return std::move(*process);
  }

  const std::string path = StrCat("clawtest-", RandomHex(8));
  std::unique_ptr<Cgroups> cgroups;
};

TEST_CASE("limits are set and read back", "[cgroup]") {
  Fixture fixture;
  Cgroups& cgroups = *fixture.cgroups;
  const CgroupLimits limits{.memory_max_bytes = 64 * kMiB, .cpu_millis = 1500, .pids_max = 32};
  const std::string inner = fixture.path + "/inner";
  REQUIRE(cgroups.Create(inner, limits).ok());
  CHECK(*cgroups.ReadLimits(inner) == limits);

  SECTION("once more, with others") {
    REQUIRE(cgroups.Create(inner, {.memory_max_bytes = 128 * kMiB}).ok());
    CHECK(*cgroups.ReadLimits(inner) == CgroupLimits{.memory_max_bytes = 128 * kMiB});
  }
  SECTION("memory alone, down, up and off") {
    REQUIRE(cgroups.SetMemoryMax(inner, 32 * kMiB).ok());
    CHECK(cgroups.ReadLimits(inner)->memory_max_bytes == 32 * kMiB);
    REQUIRE(cgroups.SetMemoryMax(inner, 256 * kMiB).ok());
    CHECK(cgroups.ReadLimits(inner)->memory_max_bytes == 256 * kMiB);
    REQUIRE(cgroups.SetMemoryMax(inner, 0).ok());
    CHECK(cgroups.ReadLimits(inner)->memory_max_bytes == 0);
    CHECK(cgroups.ReadLimits(inner)->pids_max == 32);
  }
  SECTION("a limit that the kernel refuses leaves nothing") {
    CHECK_FALSE(cgroups.Create(fixture.path + "/bad", {.cpu_millis = 1}).ok());
    CHECK(cgroups.Children(fixture.path) == std::vector<std::string>{"inner"});
  }
}

TEST_CASE("a cgroup knows its processes, and kills and removes them all", "[cgroup]") {
  Fixture fixture;
  Cgroups& cgroups = *fixture.cgroups;
  const std::string inner = fixture.path + "/inner";
  REQUIRE(cgroups.Create(inner, {.memory_max_bytes = 64 * kMiB, .pids_max = 8}).ok());
  REQUIRE(cgroups.Create(fixture.path + "/other", {}).ok());
  CHECK(cgroups.Children(fixture.path) == std::vector<std::string>{"inner", "other"});
  CHECK(cgroups.Processes(inner).empty());
  Process process = fixture.Enter(inner);

  CHECK(cgroups.Processes(inner) == std::vector<pid_t>{process.pid()});
  CHECK(cgroups.Processes(fixture.path) == std::vector<pid_t>{process.pid()});
  CHECK(cgroups.CheckMember(inner, process.pid()).ok());
  CHECK(cgroups.CheckMember(fixture.path, process.pid()).ok());
  CHECK_FALSE(cgroups.CheckMember(fixture.path + "/other", process.pid()).ok());
  CHECK_FALSE(cgroups.CheckMember(inner, ::getpid()).ok());
  const auto usage = cgroups.ReadUsage(inner);
  REQUIRE(usage.ok());
  CHECK(usage->pids == 1);
  CHECK(usage->memory_bytes >= 0);
  CHECK(usage->limit_hits == 0);

  const Status busy = cgroups.Remove(inner);
  CHECK(busy.code() == StatusCode::kFailedPrecondition);
  CHECK(cgroups.KillAll(inner).ok());
  CHECK(cgroups.Processes(inner).empty());
  CHECK(process.Wait().value_or(-1) == 137);
  CHECK(cgroups.Remove(fixture.path).ok());
  CHECK(cgroups.Remove(fixture.path).ok());  // not there: fine
  CHECK(cgroups.Children(fixture.path).empty());
  CHECK_FALSE(cgroups.ReadLimits(inner).ok());
  CHECK_FALSE(cgroups.ReadUsage(inner).ok());
}

TEST_CASE("the memory limit is the kernel's, not ours", "[cgroup]") {
  Fixture fixture;
  REQUIRE(fixture.cgroups->Create(fixture.path, {.memory_max_bytes = 8 * kMiB}).ok());
  std::string script;
  for (const char* place : {"memory/", ""}) {
    const std::string file = StrCat("/sys/fs/cgroup/", place, fixture.path, "/cgroup.procs");
    script += StrCat("if test -e ", file, "; then echo $$ > ", file, "; fi; ");
  }
  ProcessSpec spec;
  spec.argv = {"sh", "-c", script + "head -c 64M /dev/zero | tail -c 60M >/dev/null"};
  const auto result = Run(spec);
  REQUIRE(result.ok());
  CHECK(result->exit_code == 137);
  const auto usage = fixture.cgroups->ReadUsage(fixture.path);
  REQUIRE(usage.ok());
  CHECK(usage->limit_hits > 0);
  CHECK(usage->oom_kills.value_or(1) > 0);
  CHECK(usage->memory_peak_bytes <= 8 * kMiB);
}

// Forks a process that holds 64 MiB and whose first thread has ended before the others.
pid_t ForkThreads(const std::string& cgroup, int ready) {
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  for (const char* root : {"memory/", "cpu/", "cpuacct/", "pids/", ""}) {
    WriteExisting(StrCat("/sys/fs/cgroup/", root, cgroup, "/cgroup.procs"), "0").IgnoreError();
  }
  for (int i = 0; i < 8; ++i) std::thread([] { ::pause(); }).detach();
  std::thread([ready] {
    const std::string held(64 * kMiB, 'x');
    if (::write(ready, held.data(), 1) == 1) ::pause();
  }).detach();
  ::syscall(SYS_exit, 0);
  std::abort();
}

TEST_CASE("what was killed has given back its memory", "[cgroup]") {
  Fixture fixture;
  REQUIRE(fixture.cgroups->Create(fixture.path, {.memory_max_bytes = 256 * kMiB}).ok());
  auto ready = MakePipe();
  REQUIRE(ready.ok());
  const pid_t pid = ForkThreads(fixture.path, ready->second.get());
  REQUIRE(pid > 0);
  char byte = 0;
  REQUIRE(::read(ready->first.get(), &byte, 1) == 1);
  CHECK(fixture.cgroups->ReadUsage(fixture.path)->memory_bytes >= 64 * kMiB);
  CHECK(fixture.cgroups->KillAll(fixture.path).ok());
  CHECK(fixture.cgroups->ReadUsage(fixture.path)->memory_bytes < 16 * kMiB);
  CHECK(fixture.cgroups->Remove(fixture.path).ok());
  int status = 0;
  CHECK(::waitpid(pid, &status, 0) == pid);
}

TEST_CASE("what has processes of its own has no limited cgroups below it", "[cgroup]") {
  Fixture fixture;
  REQUIRE(fixture.cgroups->Create(fixture.path, {}).ok());
  Process process = fixture.Enter(fixture.path);
  const Status status = fixture.cgroups->Create(fixture.path + "/inner", {.pids_max = 8});
  if (fixture.cgroups->mode() == "v2") {
    CHECK(status.code() == StatusCode::kFailedPrecondition);
    CHECK(GetErrorDetail(status)->reason == "CGROUP_OCCUPIED");
    CHECK(fixture.cgroups->Children(fixture.path).empty());
  } else {
    CHECK(status.ok());  // v1 has no such rule
  }
  CHECK(fixture.cgroups->KillAll(fixture.path).ok());
  CHECK(process.Wait().ok());
}

// A v2 tree as the kernel shows it, in a folder; "box" is a cgroup with limits.
struct RecordedTree {
  RecordedTree() {
    Write("cgroup.controllers", "cpuset cpu io memory hugetlb pids rdma misc\n");
    Write("cgroup.subtree_control", "cpu memory pids\n");
    Write("box/memory.max", "134217728\n");
    Write("box/memory.current", "1056768\n");
    Write("box/memory.peak", "134217728\n");
    Write("box/memory.stat", "anon 409600\nfile 303104\nkernel 94208\nshmem 204800\n");
    Write("box/memory.events", "low 0\nhigh 0\nmax 37\noom 1\noom_kill 2\noom_group_kill 0\n");
    Write("box/pids.max", "64\n");
    Write("box/pids.current", "3\n");
    Write("box/cpu.max", "150000 100000\n");
    Write("box/cpu.stat", "usage_usec 250014\nuser_usec 200000\nsystem_usec 50014\n");
    Write("box/cgroup.events", "populated 0\nfrozen 0\n");
    const auto mountinfo = dir.path() / "mountinfo";
    REQUIRE(WriteFileAtomic(mountinfo, StrCat("30 24 0:26 / ", dir.path().string(),
                                              " rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"))
                .ok());
    cgroups = Cgroups::Detect(mountinfo).value();
  }

  void Write(const std::string& file, std::string_view text) const {
    std::filesystem::create_directories((dir.path() / file).parent_path());
    REQUIRE(WriteFileAtomic(dir.path() / file, text).ok());
  }
  std::string Read(const std::string& file) const {
    return ReadFile(dir.path() / file).value_or("");
  }

  const test::TempDir dir;
  std::unique_ptr<Cgroups> cgroups;
};

TEST_CASE("v2: what the kernel's files say") {
  const RecordedTree tree;
  Cgroups& cgroups = *tree.cgroups;
  REQUIRE(cgroups.mode() == "v2");
  CHECK(*cgroups.ReadLimits("box") ==
        CgroupLimits{.memory_max_bytes = 128 * kMiB, .cpu_millis = 1500, .pids_max = 64});
  CHECK(cgroups.KillAll("box").ok());
  CHECK(cgroups.KillAll("no-such-box").ok());
  SECTION("usage") {
    const auto usage = cgroups.ReadUsage("box");
    REQUIRE(usage.ok());
    CHECK(usage->memory_bytes == 1056768);
    CHECK(usage->memory_peak_bytes == 128 * kMiB);
    CHECK(usage->kernel_bytes == 94208);
    CHECK(usage->shmem_bytes == 204800);
    CHECK(usage->page_cache_bytes == 98304);
    CHECK(usage->cpu_micros == 250014);
    CHECK(usage->pids == 3);
    CHECK(usage->limit_hits == 37);
    CHECK(usage->oom_kills == 2);
  }
  SECTION("a kernel without memory.peak") {
    std::filesystem::remove(tree.dir.path() / "box/memory.peak");
    const auto usage = cgroups.ReadUsage("box");
    REQUIRE(usage.ok());
    CHECK(usage->memory_peak_bytes == 0);
    CHECK(usage->oom_kills == 2);
  }
  SECTION("no limits") {
    for (const char* file : {"box/memory.max", "box/pids.max"}) tree.Write(file, "max\n");
    tree.Write("box/cpu.max", "max 100000\n");
    CHECK(*cgroups.ReadLimits("box") == CgroupLimits{});
  }
  SECTION("nonsense is no limit of none") {
    for (const char* text : {"", "150000\n", "-1 100000\n", "150000 0\n", "150000 max\n"}) {
      tree.Write("box/cpu.max", text);
      CHECK(cgroups.ReadLimits("box").status().code() == StatusCode::kDataLoss);
    }
  }
  SECTION("a controller that is not handed down is missed, not taken for no use") {
    std::filesystem::remove(tree.dir.path() / "box/memory.events");
    CHECK_FALSE(cgroups.ReadUsage("box").ok());
  }
}

TEST_CASE("v2: memory has no way out into swap, and controllers are handed down once") {
  const RecordedTree tree;
  tree.Write("box/memory.swap.max", "max       ");
  tree.Write("box/memory.max", "max       ");
  REQUIRE(tree.cgroups->SetMemoryMax("box", 134217728).ok());
  CHECK(tree.Read("box/memory.max") == "134217728 ");
  CHECK(tree.Read("box/memory.swap.max") == "0ax       ");
  // The files of the new folder would be the kernel's, so it ends there.
  CHECK_FALSE(tree.cgroups->Create("new", {}).ok());
  CHECK(tree.Read("cgroup.subtree_control") == "cpu memory pids\n");
  tree.Write("cgroup.subtree_control", "cpu pids          \n");
  CHECK_FALSE(tree.cgroups->Create("new", {}).ok());
  CHECK(tree.Read("cgroup.subtree_control") == "+memory +cpu +pids\n");
  CHECK_FALSE(std::filesystem::exists(tree.dir.path() / "new"));
}

TEST_CASE("no hierarchies, no cgroups") {
  CHECK_FALSE(Cgroups::Detect("/dev/null").ok());
  CHECK_FALSE(Cgroups::Detect("/no/such/file").ok());
}

}  // namespace
}  // namespace claw::host
