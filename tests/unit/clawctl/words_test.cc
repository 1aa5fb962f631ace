#include "tools/clawctl/words.h"

#include <catch2/catch.hpp>

#include "agent/base/words.h"

namespace claw::ctl {
namespace {

using Catch::Matchers::Contains;

TEST_CASE("a command that needs no shell is split as everywhere", "[clawctl]") {
  for (const char* line :
       {"a", " python3 -c 'print($x | `y`; \"z\")'", R"(a \$b \| "\$c \`d\`" '')",
        R"("a;b|c&d<e>f" g)", R"("a\b" "c\\" d)", "a*b ~ #c {d} !e"}) {
    CAPTURE(line);
    const auto words = SplitCommand(line);
    REQUIRE(words.ok());
    CHECK(*words == *SplitWords(line));
  }
}

TEST_CASE("a command that needs a shell has to name it", "[clawctl]") {
  for (const char* line : {"echo $HOME", "echo \"$HOME\"", "`a`", "\"`a`\"", "a | b", "a;b", "a&",
                           "a > b", "a < b", "'a' $b", "\"a\" $b", R"("a\\$b")", R"('a\'$b)"}) {
    CAPTURE(line);
    const auto words = SplitCommand(line);
    CHECK(words.status().code() == StatusCode::kInvalidArgument);
    CHECK_THAT(std::string(words.status().message()), Contains("write sh -c") && Contains(line));
  }
}

TEST_CASE("a command that no shell would take is refused with its line", "[clawctl]") {
  for (const char* line : {"a 'b", "a \"b", "a \\"}) {
    CAPTURE(line);
    const auto words = SplitCommand(line);
    CHECK(words.status().code() == StatusCode::kInvalidArgument);
    CHECK_THAT(std::string(words.status().message()), Contains(line));
  }
  CHECK(SplitCommand(" \t").status().code() == StatusCode::kInvalidArgument);
  CHECK(SplitCommand("").status().code() == StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace claw::ctl
