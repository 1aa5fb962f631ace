#include <rapidcheck/catch.h>
#include <catch2/catch.hpp>
#include <limits>
#include <set>

#include "agent/base/clock.h"
#include "agent/base/id.h"
#include "agent/base/strings.h"
#include "agent/base/utf8.h"

namespace claw {
namespace {

using Views = std::vector<std::string_view>;

TEST_CASE("UTF-8 is told from what only looks like it") {
  const std::pair<std::string_view, bool> cases[] = {
      {"", true},
      {"plain", true},
      {std::string_view("\0", 1), true},
      {"\xC3\xA4", true},           // U+00E4
      {"\xE2\x82\xAC", true},       // U+20AC
      {"\xF0\x9F\x92\xA9", true},   // U+1F4A9
      {"\xF4\x8F\xBF\xBF", true},   // U+10FFFF
      {"\xEF\xBF\xBF", true},       // U+FFFF
      {"\x80", false},              // a continuation alone
      {"\xC3", false},              // cut short
      {"\xE2\x82", false},          // cut short
      {"\xC3(", false},             // no continuation
      {"\xC0\x80", false},          // overlong NUL
      {"\xC1\xBF", false},          // overlong
      {"\xE0\x9F\xBF", false},      // overlong
      {"\xF0\x8F\xBF\xBF", false},  // overlong
      {"\xED\xA0\x80", false},      // a surrogate
      {"\xED\xBF\xBF", false},      // a surrogate
      {"\xF4\x90\x80\x80", false},  // beyond U+10FFFF
      {"\xF8\x88\x80\x80\x80", false},
      {"\xFE", false},
      {"\xFF", false},
  };
  for (const auto& [text, good] : cases) {
    INFO(Catch::StringMaker<std::string>::convert(std::string(text)));
    CHECK(IsUtf8(text) == good);
    CHECK(IsUtf8(StrCat("a", text, "b")) == good);
  }
}

TEST_CASE("every code point is well formed in its shortest form only") {
  rc::prop("encode", [] {
    const auto point = *rc::gen::inRange<uint32_t>(0x800, 0x110000);
    std::string text;
    if (point >= 0x10000) {
      text = {static_cast<char>(0xF0 | point >> 18), static_cast<char>(0x80 | (point >> 12 & 63))};
    } else {
      text = {static_cast<char>(0xE0 | point >> 12)};
    }
    text += {static_cast<char>(0x80 | (point >> 6 & 63)), static_cast<char>(0x80 | (point & 63))};
    RC_ASSERT(IsUtf8(text) == (point < 0xD800 || point > 0xDFFF));
  });
}

TEST_CASE("split, trim, join") {
  CHECK(Split("a,b,,c", ',') == Views{"a", "b", "", "c"});
  CHECK(Split("a,b,,c", ',', true) == Views{"a", "b", "c"});
  CHECK(Split("", ',') == Views{""});
  CHECK(Split("", ',', true).empty());
  CHECK(Split(",", ',') == Views{"", ""});
  CHECK(Split(std::string_view("a\0b\0", 4), '\0') == Views{"a", "b", ""});
  CHECK(Trim(" \t a b \r\n") == "a b");
  CHECK(Trim(" \n ").empty());
  CHECK(Trim("").empty());
  CHECK(Join({}, ", ").empty());
  CHECK(Join({"a", "", "b"}, ", ") == "a, , b");
  rc::prop("joining what was split gives it back", [](const std::string& text) {
    std::vector<std::string> parts;
    for (const std::string_view part : Split(text, 'a')) parts.emplace_back(part);
    RC_ASSERT(Join(parts, "a") == text);
  });
}

TEST_CASE("numbers are read whole or not at all") {
  int64_t value = 0;
  CHECK(ParseInt("-42", &value));
  CHECK(value == -42);
  CHECK(ParseInt("9223372036854775807", &value));
  CHECK(value == std::numeric_limits<int64_t>::max());
  for (const std::string_view text : {"", "-", "+1", " 1", "1 ", "1.0", "0x1", "12a",
                                      "9223372036854775808", "-9223372036854775809"}) {
    INFO(text);
    CHECK_FALSE(ParseInt(text, &value));
  }
  rc::prop("every number comes back", [](int64_t number) {
    int64_t back = 0;
    RC_ASSERT(ParseInt(StrCat(number), &back));
    RC_ASSERT(back == number);
  });
}

TEST_CASE("StrCat takes every kind of text") {
  const std::string text = "b";
  CHECK(StrCat("a", text, std::string_view("c"), 4, int64_t{-5}) == "abc4-5");
}

TEST_CASE("random ids have the length asked for and do not repeat") {
  CHECK(RandomHex(1).size() == 1);
  CHECK(RandomHex(64).size() == 64);
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(RandomHex(16));
  CHECK(seen.size() == 1000);
  for (const std::string& id : seen) {
    REQUIRE(id.find_first_not_of("0123456789abcdef") == std::string::npos);
  }
}

TEST_CASE("times are shown in UTC with milliseconds") {
  CHECK(FormatTime(FromMicros(0)) == "1970-01-01T00:00:00.000Z");
  CHECK(FormatTime(FromMicros(1'795'486'341'333'999)) == "2026-11-24T02:12:21.333Z");
  CHECK(ToMicros(FromMicros(123)) == 123);
}

}  // namespace
}  // namespace claw
