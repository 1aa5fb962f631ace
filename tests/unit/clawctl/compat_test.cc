#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/unit/clawctl/fixture.h"

namespace claw::ctl::testing {
namespace {

using Catch::Matchers::Contains;
using nlohmann::json;

const std::string kDigits(64, 'a');

pb::Verdict MakeVerdict(pb::CompatResult result, bool baseline) {
  pb::Verdict verdict;
  verdict.set_image("images/sha256:" + kDigits);
  verdict.set_reference("app:1");
  verdict.set_result(result);
  verdict.set_runtime_version("release-1");
  verdict.set_platform("ptrace");
  verdict.mutable_test_time()->set_seconds(1'000'000);
  auto& probe = *verdict.add_probes();
  probe.mutable_probe()->set_name("boot");
  auto& run = *probe.mutable_gvisor();
  run.set_runtime("gvisor");
  run.set_as_expected(result != pb::COMPAT_RESULT_INCOMPATIBLE);
  run.set_exit_code(run.as_expected() ? 0 : 9);
  run.set_output_tail("a < b\033[2J\n");
  run.mutable_wall_time()->set_nanos(300'000'000);
  run.set_memory_peak_bytes(int64_t{20} << 20);
  if (baseline) {
    *probe.mutable_baseline() = run;
    probe.mutable_baseline()->set_runtime("runc");
    probe.mutable_baseline()->set_as_expected(true);
    probe.mutable_baseline()->mutable_wall_time()->set_nanos(100'000'000);
  }
  if (result != pb::COMPAT_RESULT_COMPATIBLE) {
    auto& call = *verdict.add_findings();
    call.set_name("userfaultfd");
    call.set_kind(pb::SyscallFinding::LACKING);
    call.set_error("ENOSYS");
    call.set_probe("boot");
    call.set_mattered(pb::SyscallFinding::YES);
  }
  return verdict;
}

Fixture& WithImage(Fixture& node) {
  node.state().images = {MakeImage(kDigits, {"app:1"})};
  return node;
}

std::string WriteSuite(const Fixture& node, const std::string& text) {
  std::string path = node.directory() + "/suite.toml";
  std::ofstream(path) << text;
  return path;
}

TEST_CASE("compat test answers with the verdict's exit code", "[clawctl]") {
  Fixture node;
  WithImage(node);
  auto accepted = MakeVerdict(pb::COMPAT_RESULT_DEGRADED, false);
  accepted.set_accepted_by("unix:root(0)");
  node.state().tests = {MakeVerdict(pb::COMPAT_RESULT_COMPATIBLE, true),
                        MakeVerdict(pb::COMPAT_RESULT_DEGRADED, false),
                        MakeVerdict(pb::COMPAT_RESULT_INCOMPATIBLE, false), accepted};
  const auto good = node.Ctl({"node", "compat", "test", "app:1", "--probe", "sh -c 'a  b'"});
  CHECK(good.code == 0);
  CHECK(good.err == "probe 1 of 1: gvisor\n");
  CHECK_THAT(good.out, Contains("boot   ok      300 ms") && Contains("3.0x"));
  const auto& words = node.state().test_requests.at(0).probes(0).command();
  REQUIRE(words.size() == 3);
  CHECK(words[2] == "a  b");
  const auto degraded = node.Ctl({"node", "compat", "test", "app:1"});
  CHECK(degraded.code == 10);
  CHECK_THAT(degraded.out, Contains("compat accept app:1"));
  const auto bad = node.Ctl({"node", "compat", "test", "app:1", "-q"});
  CHECK(bad.code == 11);
  CHECK(bad.err.empty());
  CHECK_THAT(bad.out, Contains("exit 9") && Contains("a < b\\x1b[2J"));
  CHECK_THAT(bad.out, Contains("userfaultfd  lacking  ENOSYS  yes       boot"));
  CHECK(node.Ctl({"node", "compat", "test", "app:1"}).code == 0);
  const auto broken = node.Ctl({"node", "compat", "test", "app:1"});
  CHECK(broken.code == 1);
  CHECK_THAT(broken.err, Contains("PROBE_BROKEN") && Contains("hint:"));
}

TEST_CASE("compat test reads what a probe has to do", "[clawctl]") {
  Fixture node;
  WithImage(node);
  node.state().tests = {MakeVerdict(pb::COMPAT_RESULT_COMPATIBLE, false)};
  const std::vector<std::string> start = {"node", "compat", "test", "app:1"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), start.begin(), start.end());
    return node.Ctl(more).code;
  };
  CHECK(with({"--expect-exit", "7", "--expect-contains", "x", "--timeout", "1500ms", "--memory",
              "1Gi", "--baseline", "--", "prog", "--flag"}) == 0);
  const auto& request = node.state().test_requests.at(0);
  CHECK(request.baseline());
  CHECK(request.workload_bytes() == int64_t{1} << 30);
  CHECK(request.probes(0).command(1) == "--flag");
  CHECK(request.probes(0).exit_code() == 7);
  CHECK(request.probes(0).output_contains() == "x");
  CHECK(request.probes(0).timeout().seconds() == 1);
  CHECK(request.probes(0).timeout().nanos() == 500'000'000);
  CHECK(with({"--expect-exit", "7"}) == 2);
  CHECK(with({"--probe", "a | b"}) == 2);
  CHECK(with({"--probe", "a 'b"}) == 2);
  CHECK(with({"--expect-exit", "256", "--probe", "a"}) == 2);
  CHECK(with({"--expect-output", "a", "--expect-contains", "a", "--probe", "a"}) == 2);
  CHECK(node.state().test_requests.size() == 1);
}

TEST_CASE("verdicts are listed, shown, accepted and forgotten", "[clawctl]") {
  Fixture node;
  WithImage(node);
  node.state().verdicts = {MakeVerdict(pb::COMPAT_RESULT_DEGRADED, false)};
  CHECK_THAT(node.Ctl({"node", "compat", "ls"}).out,
             Contains("app:1  aaaaaaaaaaaa  degraded  yes"));
  CHECK_THAT(node.Ctl({"node", "compat", "show", "app:1"}).out, Contains("release-1, ptrace"));
  CHECK_THAT(node.Ctl({"node", "compat", "accept", "app:1"}).out, Contains("accepted"));
  CHECK(node.Ctl({"node", "compat", "rm", "sha256:" + kDigits}).code == 0);
  CHECK(node.Ctl({"node", "compat", "show", "sha256:" + std::string(64, 'b')}).code == 3);
}

TEST_CASE("an override names a digest", "[clawctl]") {
  Fixture node;
  WithImage(node);
  const std::vector<std::string> rest = {"--class", "gvisor", "--reason", "why", "--for", "24h"};
  const auto add = [&](const std::string& image) {
    std::vector<std::string> words = {"node", "compat", "override", "add", image};
    words.insert(words.end(), rest.begin(), rest.end());
    return node.Ctl(words);
  };
  const auto named = add("app:1");
  CHECK(named.code == 2);
  CHECK_THAT(named.err, Contains("app:1@sha256:" + kDigits));
  CHECK(add("app@sha256:12").code == 2);
  const auto made = add("app@sha256:" + kDigits);
  CHECK(made.code == 0);
  CHECK_THAT(made.out, Contains("gvisor  1d0h        unix:root(0)  why"));
  CHECK(node.state().override_adds.at(0).image() == "images/sha256:" + kDigits);
  CHECK(node.state().override_adds.at(0).ttl().seconds() == 86400);
  CHECK(Lines(node.Ctl({"node", "compat", "override", "ls"}).out).size() == 2);
  CHECK(node.Ctl({"node", "compat", "override", "rm", "sha256:" + kDigits}).code == 0);
  CHECK(node.Ctl({"node", "compat", "override", "rm", "sha256:" + kDigits}).code == 3);
}

TEST_CASE("a suite is one table, one exit code and one report", "[clawctl]") {
  Fixture node;
  WithImage(node);
  node.state().tests = {MakeVerdict(pb::COMPAT_RESULT_COMPATIBLE, true),
                        MakeVerdict(pb::COMPAT_RESULT_INCOMPATIBLE, false)};
  const std::string file = WriteSuite(node,
                                      "[[image]]\nname = \"app:1\"\n[[image.probe]]\n"
                                      "command = \"a b\"\n[[image]]\nname = \"app:2\"\n");
  node.state().images.push_back(MakeImage("bbbb", {"app:2"}));
  const std::string report = node.directory() + "/junit.xml";
  const auto result = node.Ctl({"node", "compat", "suite", file, "--junit", report, "-q"});
  CHECK(result.code == 11);
  CHECK_THAT(result.out, Contains("app:1  compatible    1/1     300 ms  100 ms  3.0x"));
  CHECK_THAT(result.out, Contains("app:2  incompatible  0/1") && Contains("userfaultfd (ENOSYS)"));
  std::stringstream xml;
  xml << std::ifstream(report).rdbuf();
  CHECK_THAT(xml.str(), Contains("tests=\"2\" failures=\"1\" errors=\"0\""));
  CHECK_THAT(xml.str(), Contains("exit 9; calls that gVisor lacks or refused: userfaultfd"));
  CHECK_THAT(xml.str(), Contains("a &lt; b\xef\xbf\xbd[2J&#10;"));
  const auto broken = node.Ctl({"node", "compat", "suite", file, "--only", "app:2", "-o", "json"});
  CHECK(broken.code == 1);
  CHECK(json::parse(broken.out)["images"][0]["result"] == "error");
  CHECK(node.Ctl({"node", "compat", "suite", file, "--only", "x"}).code == 2);
}

TEST_CASE("mistakes in a suite are told with file and line", "[clawctl]") {
  Fixture node;
  struct Case {
    std::string text;
    int line;
    std::string what;
  };
  const std::string head = "[[image]]\nname = \"a\"\n";
  const std::string probe = head + "[[image.probe]]\n";
  const std::vector<Case> cases = {
      {head + "memroy = 1\n", 3, "unknown key 'memroy'"},
      {head + "memory = true\n", 3, "'memory'"},
      {head + "memory = \"1Mi\"\n", 3, "between"},
      {"[[image]]\n", 1, "no 'name'"},
      {head + head, 3, "twice"},
      {"[[image]]\nname = 4\n", 2, "has to be a string"},
      {head + "x = \n", 3, ""},
      {head + "# \xff\n", 3, "not UTF-8"},
      {probe + "exit_code = 256\n", 4, "0 to 255"},
      {probe + "command = \"a | b\"\n", 4, "sh -c"},
      {probe + "command = []\n", 4, "no program"},
      {probe + "output = \"a\"\noutput_contains = \"a\"\n", 5, "not both"},
      {probe + "timeout = \"11m\"\n", 4, "at most 10m"},
      {probe + "env = [\"=x\"]\n", 4, "NAME=VALUE"},
      {probe + "command = \"a\\u0000\"\n", 4, "NUL"},
      {"image = 3\n", 1, "[[image]]"},
  };
  for (const Case& row : cases) {
    const std::string file = WriteSuite(node, row.text);
    const auto result = node.Ctl({"node", "compat", "suite", file});
    CAPTURE(row.text, result.err);
    CHECK(result.code == 1);
    CHECK_THAT(result.err,
               Contains(file + ":" + std::to_string(row.line) + ": ") && Contains(row.what));
  }
  CHECK(node.state().test_requests.empty());
}

TEST_CASE("tenants have quotas, labels and images, which can be changed", "[clawctl]") {
  Fixture node;
  CHECK(node.Ctl({"node", "tenant", "add", "acme", "--max-sandboxes", "3", "--max-memory", "1Gi",
                  "--max-cpus", "1.5", "--label", "a=b", "--allow-image", "signer:us"})
            .code == 0);
  const auto& added = node.state().tenant_adds.at(0);
  CHECK(added.trust() == pb::TRUST_UNTRUSTED);
  CHECK(added.quota().sandboxes() == 3);
  CHECK(added.quota().workload_bytes() == int64_t{1} << 30);
  CHECK(added.quota().cpu_millis() == 1500);
  CHECK(added.labels().at("a") == "b");
  CHECK(node.Ctl({"node", "tenant", "set", "acme", "--max-cpus", "0", "--no-labels"}).code == 0);
  const auto& mask = node.state().tenant_updates.at(0).update_mask();
  REQUIRE(mask.paths_size() == 2);
  CHECK(mask.paths(0) == "quota.cpu_millis");
  CHECK(mask.paths(1) == "labels");
  CHECK(node.Ctl({"node", "tenant", "set", "acme"}).code == 2);
  CHECK(node.Ctl({"node", "tenant", "set", "acme", "--allow-image", "app:1"}).code == 2);
  CHECK(node.Ctl({"node", "tenant", "set", "acme", "--no-quota", "--max-cpus", "1"}).code == 2);
}

TEST_CASE("a dry run says what a lowered trust would kill", "[clawctl]") {
  Fixture node;
  node.state().tenants = {MakeTenant("acme", pb::TRUST_TRUSTED)};
  auto container = MakeSandbox("aa11000000000001", "web", pb::SANDBOX_STATE_RUNNING);
  container.set_isolation_class(pb::ISOLATION_CLASS_CONTAINER);
  node.state().sandboxes = {container,
                            MakeSandbox("bb22000000000002", "db", pb::SANDBOX_STATE_RUNNING)};
  const auto plan =
      node.Ctl({"node", "tenant", "set", "acme", "--trust", "untrusted", "--dry-run"});
  CHECK(plan.code == 0);
  CHECK_THAT(plan.out, Contains("would kill") && Contains("web") && !Contains("bb22"));
  CHECK(node.state().tenant_updates.empty());
}

TEST_CASE("doctor fails if a check failed", "[clawctl]") {
  Fixture node;
  auto& check = *node.state().checks.add_checks();
  check.set_id("kernel.kexec");
  check.set_outcome(pb::NodeCheck::WARNING);
  check.set_evidence("it is 0");
  check.set_fix("sysctl x=1");
  CHECK(node.Ctl({"node", "doctor"}).code == 0);
  node.state().checks.mutable_checks(0)->set_outcome(pb::NodeCheck::FAILED);
  const auto failed = node.Ctl({"node", "doctor"});
  CHECK(failed.code == 1);
  CHECK_THAT(failed.out, Contains("kernel.kexec  failed   it is 0   sysctl x=1"));
}

}  // namespace
}  // namespace claw::ctl::testing
