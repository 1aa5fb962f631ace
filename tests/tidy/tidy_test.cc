#include <catch2/catch.hpp>
#include <set>

#include "agent/base/strings.h"
#include "agent/base/subprocess.h"
#include "tests/support/skip.h"
#include "tests/tidy/coroutines.h"
#include "tests/tidy/tree.h"

namespace claw::tidy {
namespace {

constexpr char kRoot[] = CLAW_SOURCE_DIR;

void Report(const Findings& findings) {
  for (const std::string& finding : findings) FAIL_CHECK(finding);
}

std::vector<File> Tree() {
  auto files = ReadTree(kRoot);
  INFO(ToLogString(files.status()));
  REQUIRE(files.ok());
  REQUIRE(files->size() > 50);  // it is the right tree
  return std::move(*files);
}

TEST_CASE("the tree: includes") {
  for (const File& file : Tree()) Report(CheckIncludes(file));
}

TEST_CASE("the tree: text") {
  for (const File& file : Tree()) Report(CheckText(file));
}

TEST_CASE("the tree: coroutines") {
  for (const File& file : Tree()) {
    if (file.path.starts_with("agent/")) Report(CheckCoroutines(file));
  }
}

TEST_CASE("the tree: what stands at the top") {
  const auto names = TopLevel(kRoot);
  REQUIRE(names.ok());
  Report(CheckTopLevel(*names));
}

TEST_CASE("the tree: READMEs") {
  std::vector<std::string> paths;
  for (const File& file : Tree()) paths.push_back(file.path);
  Report(CheckReadmes(paths));
}

TEST_CASE("the tree: clang-format", "[clang-format]") {
  ProcessSpec spec;
  spec.argv = {"clang-format", "--version"};
  const auto version = Run(spec);
  // Other versions have other tastes.
  if (!version.ok() || version->out.find("version 14.") == std::string::npos) {
    return test::SkipOrFail("needs clang-format 14 to check the formatting");
  }
  spec.argv = {"clang-format", "--dry-run", "-Werror"};
  for (const File& file : Tree()) {
    if (file.path.ends_with(".cc") || file.path.ends_with(".h")) spec.argv.push_back(file.path);
  }
  spec.working_directory = kRoot;
  const auto result = Run(spec, {.timeout = std::chrono::seconds(100)});
  REQUIRE(result.ok());
  // One line for each file: "PATH:LINE:COLUMN: error: …".
  std::set<std::string, std::less<>> badly;
  for (const std::string_view line : Split(result->err, '\n', true)) {
    if (line.find(": error: ") != std::string_view::npos) badly.emplace(Split(line, ':').front());
  }
  for (const std::string& path : badly) FAIL_CHECK(path << ": clang-format has changes");
  CHECK(result->exit_code == 0);
}

}  // namespace
}  // namespace claw::tidy
