#include "tools/clawctl/format.h"

#include <catch2/catch.hpp>

#include "tools/clawctl/output.h"
#include "tools/clawctl/yaml.h"

namespace claw::ctl {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST_CASE("control characters never reach the terminal", "[clawctl]") {
  CHECK(EscapeControls("plain äöü 漢字") == "plain äöü 漢字");
  CHECK(EscapeControls("\033[31mred") == "\\x1b[31mred");
  CHECK(EscapeControls("a\nb\rc\td\x7f") == "a\\nb\\rc\\td\\x7f");
  CHECK(EscapeControls("\xc2\x9b"
                       "31m") == "\\u009b31m");
  CHECK(EscapeControls("abc\xe2\x80\xae"
                       "def") == "abc\\u202edef");
  CHECK(EscapeControls("\xff\xc0\xaf") == "\\xff\\xc0\\xaf");
  CHECK(EscapeControls("cut\xe6\xbc") == "cut\\xe6\\xbc");
  CHECK(EscapeControls(std::string_view("\0", 1)) == "\\x00");
}

TEST_CASE("ages have two units", "[clawctl]") {
  CHECK(FormatAge(seconds(-5)) == "0s");
  CHECK(FormatAge(seconds(59)) == "59s");
  CHECK(FormatAge(seconds(192)) == "3m12s");
  CHECK(FormatAge(seconds(3600 * 5 + 180)) == "5h3m");
  CHECK(FormatAge(seconds(86400 * 2 + 3600 * 4)) == "2d4h");
}

TEST_CASE("durations, times and CPUs are read", "[clawctl]") {
  CHECK(*ParseDuration("500ms") == milliseconds(500));
  CHECK(*ParseDuration("1h30m") == milliseconds(5400'000));
  CHECK(*ParseDuration("10") == milliseconds(10'000));
  CHECK(*ParseDuration("0.5s") == milliseconds(500));
  CHECK(*ParseDuration("0") == milliseconds(0));
  for (const char* bad : {"", "s", "10x", "-1s", "1..2s", "1e300h", "99999999999999h"}) {
    CAPTURE(bad);
    CHECK_FALSE(ParseDuration(bad).ok());
  }
  const Time now = FromMicros(1'000'000'000'000);
  CHECK(*ParseSince("10m", now) == now - std::chrono::minutes(10));
  CHECK(ToMicros(*ParseSince("1970-01-01T00:00:01.5Z", now)) == 1'500'000);
  CHECK_FALSE(ParseSince("yesterday", now).ok());
  CHECK(*ParseCpuMillis("0.5") == 500);
  CHECK(*ParseCpuMillis("2") == 2000);
  for (const char* bad : {"", "x", "-1", "nan", "inf", "0.0001"}) {
    CAPTURE(bad);
    CHECK_FALSE(ParseCpuMillis(bad).ok());
  }
}

TEST_CASE("yaml quotes what a reader could take for something else", "[clawctl]") {
  for (const char* plain :
       {"hello", "busybox:1", "/a/b", "a b", "Null island", "SANDBOX_STATE_RUNNING"}) {
    CHECK(YamlString(plain) == plain);
  }
  for (const char* odd :
       {"",    "true", "No",   "OFF",        "null",  "~",   "1",    "1.5",  "-1", "0x10",
        "1e3", ".5",   ".nan", "2026-01-31", "12:30", "- a", "a: b", "a #b", "#c", "a ",
        " a",  "a:",   "[a]",  "{a}",        "*a",    "&a",  "!a",   "%a",   "@a", "`a",
        "'a'", "|",    ">",    "?",          "<<",    "=",   "y",    "---"}) {
    CAPTURE(odd);
    CHECK(YamlString(odd) == "\"" + std::string(odd) + "\"");
  }
  CHECK(YamlString("say \"hi\"\\") == R"("say \"hi\"\\")");
  CHECK(YamlString("\033[31m\n") == R"("\u001b[31m\n")");
  CHECK(YamlString("\xc2\x9b") == R"("\u009b")");
}

TEST_CASE("yaml nests as json does", "[clawctl]") {
  CHECK(YamlFromJson(R"({"a": 1, "b": [], "c": {}, "d": ["x", {"k": "v", "l": [true, null]}],
                         "e": {"f": {"g": "0"}}, "h": [["i", "j"], []]})") ==
        "a: 1\n"
        "b: []\n"
        "c: {}\n"
        "d:\n"
        "  - x\n"
        "  - k: v\n"
        "    l:\n"
        "      - true\n"
        "      - null\n"
        "e:\n"
        "  f:\n"
        "    g: \"0\"\n"
        "h:\n"
        "  - - i\n"
        "    - j\n"
        "  - []\n");
  CHECK(YamlFromJson(R"({"items": []})") == "items: []\n");
  CHECK(YamlFromJson(R"({"true": 1})") == "\"true\": 1\n");
}

TEST_CASE("tables align by what is seen and escape their cells", "[clawctl]") {
  Table table({{"A"}, {.title = "W", .wide = true}, {.title = "STATE", .state = true}, {"Z"}});
  table.Add({"ä", "1", "running", "end"});
  table.Add({"long", "2", "failed", ""});
  table.Add({"\033[2J", "3", "exited"});
  CHECK(table.Render(false, false) ==
        "A        STATE    Z\n"
        "ä        running  end\n"
        "long     failed   -\n"
        "\\x1b[2J  exited   -\n");
  CHECK(table.Render(true, false).starts_with("A        W  STATE    Z\n"));
  CHECK(table.Render(false, true).find("\033[32mrunning\033[0m  end") != std::string::npos);
}

}  // namespace
}  // namespace claw::ctl
