#include <catch2/catch.hpp>

#include "agent/base/strings.h"
#include "tests/integration/isolation/real_node.h"
#include "tests/support/busybox_root.h"
#include "tests/support/program_root.h"

namespace claw::test {
namespace {

// Uses calls that this gVisor lacks or refuses. "needs" fails without any one of them, "copes" does
// not mind. The numbers are the same on every architecture.
constexpr char kProgram[] = R"(
#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char** argv) {
  struct { unsigned long long flags, mode, resolve; } how = {O_RDONLY, 0, 0};
  int in = open("/in", O_RDONLY), out = open("/out", O_CREAT | O_WRONLY, 0600), failed = 0;
  failed += syscall(SYS_copy_file_range, in, 0, out, 0, 4, 0) != 4;
  failed += syscall(434, getpid(), 0) < 0;                       /* pidfd_open */
  failed += syscall(437, AT_FDCWD, "/", &how, sizeof(how)) < 0;  /* openat2 */
  return argc > 1 && strcmp(argv[1], "needs") == 0 ? failed : 0;
}
)";
const std::vector<std::string> kNames = {"copy_file_range", "openat2", "pidfd_open"};

CompatVerdict Test(RealNode& node, const std::string& argument) {
  CompatTestSpec spec;
  spec.image = "calls";
  spec.baseline = true;
  spec.probes = {{.name = argument, .command = {"/calls", argument}}};
  const auto verdict = node.Run(node.node().TestImage({}, spec, [](const std::string&) {}));
  INFO(verdict.status());
  REQUIRE(verdict.ok());
  UNSCOPED_INFO(verdict->summary);
  return *verdict;
}

std::vector<std::string> Named(const CompatVerdict& verdict, SyscallFinding::Mattered mattered) {
  std::vector<std::string> names;
  for (const SyscallFinding& finding : verdict.findings) {
    if (finding.mattered == mattered) names.push_back(finding.name);
  }
  return names;
}

StatusOr<Sandbox> Start(RealNode& node) {
  SandboxSpec spec;
  spec.tenant = "guest";
  spec.image = "calls";
  spec.command = {"/calls", "copes"};
  return node.Run(node.node().CreateSandbox({}, spec, false));
}

TEST_CASE("a verdict names the calls that mattered, and the gate goes by it", "[isolation]") {
  using Mattered = SyscallFinding::Mattered;
  RealNode node;
  const std::filesystem::path root = node.dir() / "root";
  MakeBusyboxRoot(root);
  AddCProgram(root, "calls", kProgram);
  AddCProgram(root, "in", "int main() { return 0; }");  // any file of four bytes and more
  node.Import(root, "calls");
  node.AddTenant("guest", Trust::kUntrusted);
  CHECK(ReasonOf(Start(node).status()) == "COMPAT_UNTESTED");

  const CompatVerdict needs = Test(node, "needs");
  CHECK(needs.result == CompatResult::kIncompatible);
  CHECK(Named(needs, Mattered::kYes) == kNames);
  CHECK(Named(needs, Mattered::kNo).empty());
  CHECK(ReasonOf(Start(node).status()) == "COMPAT_INCOMPATIBLE");

  const CompatVerdict copes = Test(node, "copes");
  CHECK(copes.result == CompatResult::kDegraded);
  CHECK(Named(copes, Mattered::kNo) == kNames);
  CHECK(Named(copes, Mattered::kYes).empty());
  CHECK(ReasonOf(Start(node).status()) == "COMPAT_DEGRADED");
  REQUIRE(node.Run(node.node().AcceptVerdict({}, "calls")).ok());
  const StatusOr<Sandbox> started = Start(node);
  INFO(started.status());
  REQUIRE(started.ok());
  CHECK(started->isolation == IsolationClass::kGvisor);
  CHECK(node.Traces(IsolationClass::kLegacyHardened).empty());
}

}  // namespace
}  // namespace claw::test
