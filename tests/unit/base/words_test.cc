#include "agent/base/words.h"

#include <catch2/catch.hpp>

#include "agent/base/utf8.h"

namespace claw {
namespace {

using Words = std::vector<std::string>;

TEST_CASE("a line is split as a shell would split it") {
  CHECK(*SplitWords("") == Words{});
  CHECK(*SplitWords(" \t\n") == Words{});
  CHECK(*SplitWords("python3 -c  'print(\"a b\")'") == Words{"python3", "-c", "print(\"a b\")"});
  CHECK(*SplitWords("a\"b c\"d 'e'f \"\" ''") == Words{"ab cd", "ef", "", ""});
  CHECK(*SplitWords(R"(a\ b \\ \' "\"\\\$\` \n" '\n')") ==
        Words{"a b", "\\", "'", "\"\\$` \\n", "\\n"});
  // Nothing is expanded.
  CHECK(*SplitWords("$HOME `x` * ; | #") == Words{"$HOME", "`x`", "*", ";", "|", "#"});
}

TEST_CASE("a line that a shell would not take is refused") {
  for (const char* line : {"'", "a 'b", "\"", "\"a\\\"", "a \\"}) {
    CAPTURE(line);
    CHECK(SplitWords(line).status().code() == StatusCode::kInvalidArgument);
  }
}

TEST_CASE("bytes that are no UTF-8 are replaced, and the end is kept") {
  CHECK(ToUtf8("h\xc3\xa9llo", 100) == "h\xc3\xa9llo");
  CHECK(ToUtf8("a\xff"
               "b\xc3",
               100) ==
        "a\xef\xbf\xbd"
        "b\xef\xbf\xbd");
  CHECK(ToUtf8("abc\xc3\xa9", 3) == "c\xc3\xa9");
  CHECK(ToUtf8("abc\xc3\xa9z", 2) == "z");  // not half a letter
}

}  // namespace
}  // namespace claw
