#include "agent/model/sandbox.h"

#include <catch2/catch.hpp>
#include <functional>
#include <limits>
#include <set>

namespace claw {
namespace {

constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();

SandboxSpec Good() {
  SandboxSpec spec;
  spec.tenant = "acme";
  spec.image = "docker.io/library/busybox:1.36";
  spec.command = {"sh", "-c", "exit 0"};
  spec.env = {"A=1", "EMPTY="};
  spec.mounts = {{.source = "/data", .destination = "/data", .read_only = true}};
  spec.labels = {{"app", "web"}};
  return spec;
}

std::string Constraint(const SandboxSpec& spec) {
  const Status status = ValidateSpec(spec);
  if (status.ok()) return "OK";
  if (status.code() != StatusCode::kInvalidArgument) return ToLogString(status);
  return GetErrorDetail(status).value_or(ErrorDetail{}).constraint;
}

void AddMount(SandboxSpec& spec, const std::string& destination) {
  spec.mounts.push_back({.source = "/x", .destination = destination, .read_only = true});
}

TEST_CASE("a plain request is valid") {
  CHECK(Constraint(Good()) == "OK");
  SandboxSpec spec = Good();
  spec.display_name = "web-1";
  spec.working_directory = "/srv/./app";
  spec.cpu_millis = 10;
  AddMount(spec, "/procfs");  // not /proc
  AddMount(spec, "/mnt/dev");
  CHECK(Constraint(spec) == "OK");
  spec.node_selector = {{"zone", "a"}, {"io.example/rack", ""}};
  spec.tolerations.assign(63, "gpu");
  spec.tolerations.emplace_back("team=blue");
  spec.avoid_tenants.assign(64, "globex");
  spec.exclusive = true;
  CHECK(Constraint(spec) == "OK");
}

struct Hostile {
  const char* field;  // the constraint that the error names
  const char* what;
  std::function<void(SandboxSpec&)> spoil;
};

TEST_CASE("hostile requests are refused, and the error names the field") {
  const std::string nul("a\0b", 3);
  const Hostile cases[] = {
      {"tenant", "empty", [](auto& s) { s.tenant = ""; }},
      {"tenant", "path", [](auto& s) { s.tenant = "../etc"; }},
      {"tenant", "upper case", [](auto& s) { s.tenant = "Acme"; }},
      {"display_name", "space", [](auto& s) { s.display_name = "a b"; }},
      {"display_name", "an option", [](auto& s) { s.display_name = "--rm"; }},
      {"image", "empty", [](auto& s) { s.image = ""; }},
      {"image", "too long", [](auto& s) { s.image = std::string(513, 'a'); }},
      {"image", "NUL", [=](auto& s) { s.image = nul; }},
      {"image", "not UTF-8", [](auto& s) { s.image = "a\xFF"; }},
      {"command", "empty program", [](auto& s) { s.command = {""}; }},
      {"command", "NUL",
       [=](auto& s) {
         s.command = {"sh", nul};
       }},
      {"command", "not UTF-8", [](auto& s) { s.command = {"\xC0\x80"}; }},
      {"command", "too many", [](auto& s) { s.command.assign(1025, "a"); }},
      {"command", "one too long", [](auto& s) { s.command = {std::string(128 * 1024 + 1, 'a')}; }},
      {"args", "too long in all", [](auto& s) { s.args.assign(1024, std::string(200, 'a')); }},
      {"args", "NUL", [=](auto& s) { s.args = {nul}; }},
      {"env", "no equals", [](auto& s) { s.env = {"PATH"}; }},
      {"env", "no name", [](auto& s) { s.env = {"=x"}; }},
      {"env", "empty", [](auto& s) { s.env = {""}; }},
      {"env", "NUL", [](auto& s) { s.env = {std::string("A=\0B=2", 6)}; }},
      {"working_directory", "relative", [](auto& s) { s.working_directory = "srv"; }},
      {"working_directory", "climbs", [](auto& s) { s.working_directory = "/srv/../.."; }},
      {"mounts.source", "relative", [](auto& s) { s.mounts[0].source = "data"; }},
      {"mounts.source", "empty", [](auto& s) { s.mounts[0].source = ""; }},
      {"mounts.source", "climbs", [](auto& s) { s.mounts[0].source = "/data/../etc"; }},
      {"mounts.destination", "climbs", [](auto& s) { AddMount(s, "/a/.."); }},
      {"mounts.destination", "the root", [](auto& s) { AddMount(s, "/"); }},
      {"mounts.destination", "the root in disguise", [](auto& s) { AddMount(s, "//./"); }},
      {"mounts.destination", "/proc", [](auto& s) { AddMount(s, "/proc"); }},
      {"mounts.destination", "below /proc", [](auto& s) { AddMount(s, "/proc/sys"); }},
      {"mounts.destination", "/proc in disguise", [](auto& s) { AddMount(s, "//.//proc/"); }},
      {"mounts.destination", "/sys", [](auto& s) { AddMount(s, "/sys/fs/cgroup"); }},
      {"mounts.destination", "/dev", [](auto& s) { AddMount(s, "/./dev"); }},
      {"mounts.destination", "the starter", [](auto& s) { AddMount(s, "/.clawlet/init"); }},
      {"mounts.destination", "twice", [](auto& s) { AddMount(s, "/data/"); }},
      {"mounts.destination", "too long",
       [](auto& s) { AddMount(s, "/" + std::string(4095, 'a')); }},
      {"mounts", "too many", [](auto& s) { s.mounts.assign(65, s.mounts[0]); }},
      {"workload_bytes", "zero", [](auto& s) { s.workload_bytes = 0; }},
      {"workload_bytes", "negative", [](auto& s) { s.workload_bytes = -1; }},
      {"workload_bytes", "too small", [](auto& s) { s.workload_bytes = kMinWorkloadBytes - 1; }},
      {"workload_bytes", "too large", [](auto& s) { s.workload_bytes = kMaxWorkloadBytes + 1; }},
      {"workload_bytes", "the largest number", [](auto& s) { s.workload_bytes = kHuge; }},
      {"cpu_millis", "negative", [](auto& s) { s.cpu_millis = -1; }},
      {"cpu_millis", "less than the kernel can", [](auto& s) { s.cpu_millis = 9; }},
      {"cpu_millis", "too many", [](auto& s) { s.cpu_millis = kMaxCpuMillis + 1; }},
      {"pids_max", "none", [](auto& s) { s.pids_max = 0; }},
      {"pids_max", "negative", [](auto& s) { s.pids_max = -5; }},
      {"pids_max", "too many", [](auto& s) { s.pids_max = kMaxPidsMax + 1; }},
      {"labels", "empty key", [](auto& s) { s.labels[""] = "x"; }},
      {"labels", "long key", [](auto& s) { s.labels[std::string(254, 'k')] = "x"; }},
      {"labels", "long value", [](auto& s) { s.labels["k"] = std::string(1025, 'v'); }},
      {"labels", "NUL", [=](auto& s) { s.labels["k"] = nul; }},
      {"labels", "too many",
       [](auto& s) {
         for (int i = 0; i < 65; ++i) s.labels[std::to_string(i)] = "x";
       }},
      {"node_selector", "empty key", [](auto& s) { s.node_selector[""] = "x"; }},
      {"node_selector", "long value",
       [](auto& s) { s.node_selector["k"] = std::string(1025, 'v'); }},
      {"node_selector", "NUL", [=](auto& s) { s.node_selector["k"] = nul; }},
      {"node_selector", "too many",
       [](auto& s) {
         for (int i = 0; i < 65; ++i) s.node_selector[std::to_string(i)] = "x";
       }},
      {"tolerations", "empty",
       [](auto& s) {
         s.tolerations = {"gpu", ""};
       }},
      {"tolerations", "no key", [](auto& s) { s.tolerations = {"=yes"}; }},
      {"tolerations", "too long", [](auto& s) { s.tolerations = {std::string(254, 'k')}; }},
      {"tolerations", "NUL", [=](auto& s) { s.tolerations = {nul}; }},
      {"tolerations", "too many", [](auto& s) { s.tolerations.assign(65, "gpu"); }},
      {"avoid_tenants", "empty", [](auto& s) { s.avoid_tenants = {""}; }},
      {"avoid_tenants", "no name", [](auto& s) { s.avoid_tenants = {"Globex"}; }},
      {"avoid_tenants", "itself",
       [](auto& s) {
         s.avoid_tenants = {"globex", "acme"};
       }},
      {"avoid_tenants", "too many", [](auto& s) { s.avoid_tenants.assign(65, "globex"); }},
  };
  for (const Hostile& hostile : cases) {
    INFO(hostile.field << ": " << hostile.what);
    SandboxSpec spec = Good();
    hostile.spoil(spec);
    CHECK(Constraint(spec) == hostile.field);
  }
}

TEST_CASE("a figure out of bounds says which bounds") {
  SandboxSpec spec = Good();
  spec.workload_bytes = 1;
  const auto detail = GetErrorDetail(ValidateSpec(spec));
  CHECK(detail->reason == "OUT_OF_BOUNDS");
  CHECK(detail->needed == "16777216 to 17592186044416 bytes");
  CHECK(detail->available == "1 bytes");
}

TEST_CASE("names are DNS labels that start with a letter") {
  for (const char* name : {"a", "a1", "a-b", "abc-123"}) CHECK(ValidateName("name", name).ok());
  CHECK(ValidateName("name", std::string(63, 'a')).ok());
  const std::string_view bad[] = {"",    "1a",  "-a", "a-", "A",   "a_b",
                                  "a.b", "a/b", "ä",  "a ", "a\n", std::string_view("a\0", 2)};
  for (const std::string_view name : bad) {
    INFO(name);
    const Status status = ValidateName("name", name);
    CHECK(status.code() == StatusCode::kInvalidArgument);
    CHECK(GetErrorDetail(status)->reason == "BAD_NAME");
    CHECK(GetErrorDetail(status)->constraint == "name");
  }
  CHECK_FALSE(ValidateName("name", std::string(64, 'a')).ok());
}

TEST_CASE("an error about a name does not repeat what a terminal would act upon") {
  const Status status = ValidateName("name", "\x1B[2J");
  CHECK(status.message().find('\x1B') == absl::string_view::npos);
  CHECK(ValidateName("name", std::string(100'000, 'A')).message().size() < 300);
}

constexpr SandboxState kStates[] = {SandboxState::kReserved, SandboxState::kStarting,
                                    SandboxState::kRunning,  SandboxState::kStopping,
                                    SandboxState::kExited,   SandboxState::kFailed,
                                    SandboxState::kLost};

// Rows are where it is, columns where it is to go, in the order of kStates.
constexpr const char* kLegal[] = {
    "yy...y.",  // RESERVED
    ".yyyyyy",  // STARTING
    "..yyy.y",  // RUNNING
    "...yyyy",  // STOPPING
    "....y..",  // EXITED
    ".....y.",  // FAILED
    "....y.y",  // LOST
};

TEST_CASE("each of the 49 moves is legal or not as the table says") {
  for (size_t from = 0; from < 7; ++from) {
    for (size_t to = 0; to < 7; ++to) {
      INFO(ToString(kStates[from]) << " -> " << ToString(kStates[to]));
      Sandbox sandbox;
      sandbox.state = kStates[from];
      const Status moved = Transition(sandbox, kStates[to]);
      const bool legal = kLegal[from][to] == 'y';
      CHECK(moved.ok() == legal);
      CHECK(sandbox.state == kStates[legal ? to : from]);
      if (!legal) CHECK(moved.code() == StatusCode::kFailedPrecondition);
    }
  }
}

TEST_CASE("what has ended never runs again") {
  for (const SandboxState from : kStates) {
    if (!IsTerminal(from)) continue;
    for (const SandboxState to : kStates) {
      Sandbox sandbox;
      sandbox.state = from;
      if (!IsTerminal(to)) CHECK_FALSE(Transition(sandbox, to).ok());
    }
  }
  CHECK(IsTerminal(SandboxState::kExited));
  CHECK(IsTerminal(SandboxState::kFailed));
  CHECK(IsTerminal(SandboxState::kLost));
  CHECK_FALSE(IsTerminal(SandboxState::kStopping));
}

template <typename Enum, typename Parse>
void CheckNames(Parse parse, int count) {
  std::set<std::string_view> names;
  for (int i = 0; i < count; ++i) {
    const auto name = ToString(static_cast<Enum>(i));
    CHECK(names.insert(name).second);
    CHECK(parse(name).value() == static_cast<Enum>(i));
  }
  for (const char* bad : {"", "unknown", "UNKNOWN", "Running", " container"}) {
    CHECK(parse(bad).status().code() == StatusCode::kInvalidArgument);
  }
}

TEST_CASE("every enum value has a name of its own that reads back") {
  CheckNames<IsolationClass>(ParseIsolationClass, 2);
  CheckNames<SandboxState>(ParseSandboxState, 7);
  CheckNames<EndReason>(ParseEndReason, 6);
  CheckNames<Trust>(ParseTrust, 2);
}

}  // namespace
}  // namespace claw
