#include <catch2/catch.hpp>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "tests/e2e/agent.h"
#include "tests/support/busybox_root.h"
#include "tests/support/program_root.h"

namespace claw::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

// "needs" and "copes": two calls that gVisor lacks. "picky": a flag that it does not take.
constexpr char kProgram[] = R"(
#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char** argv) {
  struct { unsigned long long flags, mode, resolve; } how = {O_RDONLY, 0, 0};
  struct statx found;
  int failed = 0;
  if (argc != 2) return 2;
  if (strcmp(argv[1], "picky") == 0)
    return statx(AT_FDCWD, "/", AT_NO_AUTOMOUNT, STATX_MODE, &found) == 0 ? 0 : 9;
  failed += syscall(434, getpid(), 0) < 0;                      /* pidfd_open */
  failed += syscall(437, AT_FDCWD, "/", &how, sizeof(how)) < 0; /* openat2 */
  write(1, "done\n", 5);
  return strcmp(argv[1], "needs") == 0 ? failed : 0;
}
)";

constexpr char kSuite[] = R"(
[[image]]
name = "good"
source = "rootfs:good"
memory = "64Mi"
  [[image.probe]]
  name = "code and output"
  command = ["sh", "-c", "echo $GREETING; exit 7"]
  env = ["GREETING=hello <you>"]
  exit_code = 7
  output = "hello <you>\n"
  [[image.probe]]
  name = "a part"
  command = "seq 100"
  output_contains = "\n50\n"

[[image]]
name = "copes"
source = "rootfs:program"
memory = "64Mi"
  [[image.probe]]
  command = "/program copes"
  output = "done\n"

[[image]]
name = "needs"
source = "rootfs:program"
memory = "64Mi"
  [[image.probe]]
  name = "with all"
  command = "/program needs"

[[image]]
name = "picky"
source = "rootfs:program"
memory = "64Mi"
  [[image.probe]]
  command = "/program picky"

[[image]]
name = "broken"
source = "rootfs:good"
memory = "64Mi"
  [[image.probe]]
  name = "no luck"
  command = "sh -c 'exit 3'"
)";

struct SuiteRun {
  int exit_code = 0;
  std::map<std::string, Json> images;  // by name
  std::string junit;
  std::string err;
};

SuiteRun RunSuite(const Agent& agent, const fs::path& file, const std::vector<std::string>& only) {
  const fs::path report = agent.dir() / "report.xml";
  std::vector<std::string> args = {"compat", "suite", file,      "--baseline", "--quiet",
                                   "-o",     "json",  "--junit", report};
  for (const std::string& name : only) args.insert(args.end(), {"--only", name});
  const CommandResult result = agent.Ctl(args, "", std::chrono::minutes(5));
  SuiteRun run{.exit_code = result.exit_code,
               .images = {},
               .junit = ReadFile(report).value_or(""),
               .err = result.err};
  const Json json = Json::parse(result.out, nullptr, false);
  INFO(result.out << result.err);
  REQUIRE(json.is_object());
  for (const Json& image : json.at("images")) run.images[image.at("name")] = image;
  return run;
}

// "openat2 LACKING YES": name, kind, whether it mattered.
std::set<std::string> Findings(const Json& image) {
  std::set<std::string> findings;
  for (const Json& finding : image.at("verdict").at("findings")) {
    const std::string kind = finding.at("kind");
    const std::string mattered = finding.at("mattered");
    findings.insert(StrCat(finding.at("name").get<std::string>(), " ",
                           kind.substr(kind.rfind('_') + 1), " ", mattered));
  }
  return findings;
}

TEST_CASE("a suite tells CI which images may run", "[gvisor][runc]") {
  const Agent agent;
  MakeBusyboxRoot(agent.dir() / "good");
  MakeBusyboxRoot(agent.dir() / "program");
  AddCProgram(agent.dir() / "program", "program", kProgram);
  const fs::path file = agent.dir() / "suite.toml";
  REQUIRE(WriteFileAtomic(file, kSuite).ok());

  SuiteRun run = RunSuite(agent, file, {"good"});
  INFO(run.junit << run.err);
  CHECK(run.exit_code == 0);
  CHECK(run.images.at("good").at("result") == "compatible");
  CHECK_THAT(run.junit, Catch::Contains(R"(tests="2" failures="0" errors="0")"));
  CHECK_THAT(run.junit, Catch::Contains(R"(<system-out>hello &lt;you&gt;)"));

  // What fails in the same way under runc tells which calls mattered.
  run = RunSuite(agent, file, {"copes"});
  CHECK(run.exit_code == 10);
  CHECK(run.images.at("copes").at("result") == "degraded");
  CHECK(Findings(run.images.at("copes")) ==
        std::set<std::string>{"openat2 LACKING NO", "pidfd_open LACKING NO"});
  CHECK_THAT(run.junit, Catch::Contains(R"(<failure type="degraded")"));

  run = RunSuite(agent, file, {"good", "needs", "picky"});
  CHECK(run.exit_code == 11);
  CHECK(run.images.size() == 3);
  CHECK(run.images.at("good").at("result") == "compatible");
  CHECK(run.images.at("needs").at("result") == "incompatible");
  CHECK(Findings(run.images.at("needs")) ==
        std::set<std::string>{"openat2 LACKING YES", "pidfd_open LACKING YES"});
  CHECK(run.images.at("picky").at("result") == "incompatible");
  CHECK(Findings(run.images.at("picky")) == std::set<std::string>{"statx REFUSED YES"});
  CHECK_THAT(run.junit, Catch::Contains(R"(tests="4" failures="2" errors="0")"));
  CHECK_THAT(run.junit, Catch::Contains(R"(<testcase classname="needs" name="with all")"));
  CHECK_THAT(run.junit,
             Catch::Contains(R"(<failure type="incompatible" message="under gVisor: exit 2; )"));

  // A probe that fails without gVisor, too, says nothing: not tested, and the others are all the
  // same.
  run = RunSuite(agent, file, {"broken", "good"});
  CHECK(run.exit_code == 1);
  CHECK(run.images.at("broken").at("result") == "error");
  CHECK(run.images.at("good").at("result") == "compatible");
  CHECK_THAT(run.err, Catch::Contains("PROBE_BROKEN"));
  CHECK_THAT(run.junit, Catch::Contains(R"(<testcase classname="broken" name="no luck")"));
  CHECK_THAT(run.junit, Catch::Contains(R"(tests="3" failures="0" errors="1")"));
}

TEST_CASE("Debian's python3 and nodejs are compatible", "[gvisor][runc]") {
  // Made by tools/install-deps.
  const fs::path made = CLAW_SOURCE_DIR "/build/compat";
  INFO("without its images: tools/compat/images python3 nodejs");
  REQUIRE(fs::exists(made / "python3/rootfs"));
  REQUIRE(fs::exists(made / "nodejs/rootfs"));
  const Agent agent;
  const SuiteRun run =
      RunSuite(agent, CLAW_SOURCE_DIR "/tools/compat/suite.toml", {"python3", "nodejs"});
  INFO(run.junit << run.err);
  CHECK(run.exit_code == 0);
  CHECK(run.images.size() == 2);
  for (const auto& [name, image] : run.images) {
    CAPTURE(name);
    CHECK(image.at("result") == "compatible");
    CHECK(Findings(image).empty());
    CHECK(image.at("verdict").at("probes").size() >= 2);
  }
}

}  // namespace
}  // namespace claw::test
