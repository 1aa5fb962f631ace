#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "agent/base/bytes.h"
#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "agent/host/cgroup.h"
#include "agent/host/host_info.h"
#include "agent/host/pressure.h"
#include "tests/e2e/agent.h"

namespace claw::test {
namespace {

namespace fs = std::filesystem;

constexpr char kCgroup[] = "clawtest-thrashers";

// Programs that read more of a file than their memory holds, again and again, in a cgroup of their
// own: they wait for memory much of the time, and take it from nobody else.
class Thrashers {
 public:
  explicit Thrashers(const fs::path& folder) : cgroups_(*host::Cgroups::Detect()) {
    const fs::path file = folder / "large";
    REQUIRE(WriteFileAtomic(file, std::string(64 * kMiB, 'x'), 0600, true).ok());
    // Pages belong to the cgroup that touches them first.
    const UniqueFd cached(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
    REQUIRE(::posix_fadvise(cached.get(), 0, 0, POSIX_FADV_DONTNEED) == 0);
    REQUIRE(cgroups_->Create(kCgroup, {.memory_max_bytes = 24 * kMiB}).ok());
    const fs::path v1 = fs::path("/sys/fs/cgroup/memory") / kCgroup;
    const fs::path members = (fs::exists(v1) ? v1 : fs::path("/sys/fs/cgroup") / kCgroup);
    const UniqueFd join(::open((members / "cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
    REQUIRE(join.valid());
    for (int i = 0; i < 3; ++i) {
      ProcessSpec reader;
      reader.argv = {"/bin/sh", "-c", StrCat("while :; do cat ", file.string(), "; done")};
      const UniqueFd nowhere(::open("/dev/null", O_WRONLY | O_CLOEXEC));
      reader.descriptors = {{nowhere.get(), 1}};
      reader.before_exec = [fd = join.get()] { return ::write(fd, "0", 1) == 1 ? 0 : errno; };
      auto started = Spawn(reader);
      REQUIRE(started.ok());
      readers_.push_back(*std::move(started));
    }
  }
  ~Thrashers() {
    CHECK(cgroups_->KillAll(kCgroup).ok());
    for (Process& reader : readers_) {
      reader.Signal(SIGKILL).IgnoreError();
      reader.Wait().IgnoreError();
    }
    CHECK(cgroups_->Remove(kCgroup).ok());
  }
  Thrashers(const Thrashers&) = delete;
  Thrashers& operator=(const Thrashers&) = delete;

 private:
  std::unique_ptr<host::Cgroups> cgroups_;
  std::vector<Process> readers_;
};

// Until what somebody else has done to this machine's memory counts no longer: an agent that comes
// up believes the kernel's average over the last seconds.
void AwaitCalm() {
  for (int i = 0; i < 600; ++i) {
    const StatusOr<MemoryPressure> pressure = host::ReadMemoryPressure();
    REQUIRE(pressure.ok());
    if (pressure->some_avg10_percent < 1) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  FAIL("programs on this machine wait for memory all the time");
}

bool Has(const std::string& text, const std::string& what) {
  return text.find(what) != std::string::npos;
}

TEST_CASE("when programs wait for memory starts are refused, and taken again afterwards",
          "[e2e][pressure]") {
  AwaitCalm();
  Agent agent({.config = "[pressure]\nshrink_percent = 2\nrefuse_percent = 5\nevict_percent = 99\n"
                         "calm_seconds = 2\n"});
  agent.Furnish();
  agent.Must({"run", "-d", "--name", "before", "--tenant", "house", "--image", "busybox", "--",
              "sleep", "1000"});
  const std::vector<std::string> start = {"run",     "-d", "--tenant", "house", "--image",
                                          "busybox", "--", "sleep",    "1000"};
  std::optional<Thrashers> load(agent.dir());
  CommandResult refused;
  const auto began_load = std::chrono::steady_clock::now();
  for (int i = 0; i < 300; ++i) {
    refused = agent.Ctl(start);
    if (refused.exit_code != 0) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  const auto until_refused = std::chrono::steady_clock::now() - began_load;
  WARN("refused " << until_refused / std::chrono::milliseconds(1) << " ms after the load began");
  CHECK(refused.exit_code != 0);
  CHECK(Has(refused.err, "short of memory"));
  CHECK(Has(refused.err, "a stall below"));  // needed
  CHECK(Has(refused.err, "retry"));
  const auto budget = nlohmann::json::parse(agent.Must({"budget", "-o", "json"}));
  CHECK(budget.at("concurrency").at("band") == "refuse");
  CHECK(agent.Field("before", "/state") == "SANDBOX_STATE_RUNNING");

  load.reset();
  CommandResult taken;
  for (int i = 0; i < 600; ++i) {
    taken = agent.Ctl(start);
    if (taken.exit_code == 0) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  INFO(taken.err);
  CHECK(taken.exit_code == 0);
  const std::string story = agent.Must({"events"});
  INFO(story);
  const size_t began = story.find("node.pressure_refuse");
  const size_t dialled = story.find("node.dialled_back");
  const size_t relaxed = story.find("node.pressure_shrink", began);
  CHECK(began != std::string::npos);
  CHECK(dialled != std::string::npos);
  CHECK(relaxed != std::string::npos);
  CHECK(Has(story, "% of the time"));
}

// "memory" of the machine, less so much.
int64_t AllBut(int64_t bytes) {
  const StatusOr<host::HostInfo> info = host::ReadHostInfo();
  REQUIRE(info.ok());
  return info->memory_bytes - bytes;
}

TEST_CASE("short of memory, the sandbox that uses more than was set aside for it has to go",
          "[e2e][pressure]") {
  // The machine has less to spare than this node wants to keep free, as this much is taken: it is
  // short as soon as programs wait for memory.
  const std::string taken(kGiB, 'x');
  AwaitCalm();
  Agent agent({.config = StrCat("[reserves]\nsystem = 0\nagent = 0\neviction = ", AllBut(kGiB),
                                "\n[pressure]\nshrink_percent = 2\nrefuse_percent = 3\n"
                                "evict_percent = 4\neviction_grace_seconds = 1\n")});
  agent.Furnish();
  const std::string hold = "dd if=/dev/zero of=/dev/shm/held bs=1M count=60 && exec sleep 1000";
  agent.Must({"run", "-d", "--name", "within", "--tenant", "house", "--memory", "96Mi", "--image",
              "busybox", "--", "sh", "-c", hold});
  agent.Must({"run", "-d", "--name", "over", "--tenant", "house", "--memory", "96Mi",
              "--memory-request", "32Mi", "--image", "busybox", "--", "sh", "-c", hold});
  agent.Must({"run", "-d", "--name", "modest", "--tenant", "house", "--memory", "96Mi",
              "--memory-request", "32Mi", "--priority", "-100", "--image", "busybox", "--", "sleep",
              "1000"});
  std::optional<Thrashers> load(agent.dir());
  // Its end, or the test's time.
  const CommandResult waited = agent.Ctl({"wait", "over"}, "", std::chrono::seconds(240));
  INFO(waited.err << agent.Must({"events"}));
  CHECK(agent.Field("over", "/exit/reason") == "END_REASON_EVICTED");
  load.reset();
  // Who is guaranteed, and who is within its request, whatever its priority: not before the other.
  CHECK(agent.Field("within", "/state") == "SANDBOX_STATE_RUNNING");
  const std::string story = agent.Must({"events"});
  const size_t evicting = story.find("sandbox.evicting");
  REQUIRE(evicting != std::string::npos);
  CHECK(story.find("node.pressure_evict") < evicting);
  const std::string why = story.substr(evicting, story.find('\n', evicting) - evicting);
  CHECK(Has(why, "32 MiB were set aside for it"));
}

TEST_CASE("a burstable sandbox is charged its request, and what it may want is kept", "[e2e]") {
  Agent agent({.config = "[node]\nmemory = \"220Mi\"\n"
                         "[reserves]\nsystem = 0\nagent = 0\neviction = 0\n"});
  agent.Furnish();
  agent.Must({"run", "-d", "--name", "steady", "--tenant", "house", "--memory", "32Mi", "--image",
              "busybox", "--", "sleep", "1000"});
  const CommandResult over =
      agent.Ctl({"run", "-d", "--tenant", "house", "--memory", "256Mi", "--memory-request", "32Mi",
                 "--image", "busybox", "--", "sleep", "1000"});
  // Alone, and known to nobody, it may do its worst.
  CHECK(over.exit_code != 0);
  CHECK(Has(over.err, "no room"));
  agent.Must({"run", "-d", "--name", "bursty", "--tenant", "house", "--memory", "96Mi",
              "--memory-request", "32Mi", "--priority", "-5", "--image", "busybox", "--", "sleep",
              "1000"});
  CHECK(agent.Field("bursty", "/resources/memory/request_bytes") == StrCat(32 * kMiB));
  const auto budget = nlohmann::json::parse(agent.Must({"budget", "-o", "json"}));
  CHECK(budget.at("burst").at("sandboxes") == "1");
  CHECK(agent.Field("steady", "/state") == "SANDBOX_STATE_RUNNING");
}

}  // namespace
}  // namespace claw::test
