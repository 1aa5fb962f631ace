#include "agent/base/bytes.h"

#include <rapidcheck/catch.h>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

namespace claw {
namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
constexpr int64_t kMin = std::numeric_limits<int64_t>::min();

TEST_CASE("amounts of bytes are read with and without units") {
  const std::pair<const char*, int64_t> cases[] = {
      {"0", 0},
      {"512", 512},
      {" 512 ", 512},
      {"1b", 1},
      {"64Ki", 64 * kKiB},
      {"64 KiB", 64 * kKiB},
      {"2k", 2000},
      {"512Mi", 512 * kMiB},
      {"3M", 3'000'000},
      {"1gb", 1'000'000'000},
      {"1.5Gi", 3 * kGiB / 2},
      {"0.5", 1},
      {"2Ti", 2048 * kGiB},
      {"1t", 1'000'000'000'000},
      {"9223372036854775807", kMax},
      {"8388607Ti", int64_t{8388607} * 1024 * kGiB},
  };
  for (const auto& [text, bytes] : cases) {
    INFO(text);
    const auto parsed = ParseBytes(text);
    REQUIRE(parsed.ok());
    CHECK(*parsed == bytes);
  }
}

TEST_CASE("what is no amount of bytes is refused") {
  const std::string_view cases[] = {"",
                                    " ",
                                    "-1",
                                    "+1",
                                    "Mi",
                                    "1.5.5Gi",
                                    ".",
                                    "1e9",
                                    "0x10",
                                    "1 000",
                                    "1,5Gi",
                                    "nan",
                                    "inf",
                                    "5Xi",
                                    "1Mi2",
                                    std::string_view("5\0", 2),
                                    "9223372036854775808",
                                    "99999999999999999999999999",
                                    "8388608Ti",
                                    "8388608.0Ti",
                                    "9223372036854775808.0",
                                    "99999999999999999999999999.5Gi"};
  for (const std::string_view text : cases) {
    INFO(text);
    CHECK(ParseBytes(text).status().code() == StatusCode::kInvalidArgument);
  }
}

TEST_CASE("bytes are shown with at most one decimal") {
  CHECK(FormatBytes(0) == "0 B");
  CHECK(FormatBytes(1023) == "1023 B");
  CHECK(FormatBytes(1024) == "1 KiB");
  CHECK(FormatBytes(1536) == "1.5 KiB");
  CHECK(FormatBytes(512 * kMiB) == "512 MiB");
  CHECK(FormatBytes(kMax) == "8 EiB");
  CHECK(FormatBytes(-1536) == "-1.5 KiB");
  CHECK(FormatBytes(kMin) == "-8 EiB");
}

TEST_CASE("numbers come back as they were") {
  rc::prop("whole bytes", [] {
    const auto bytes = *rc::gen::inRange<int64_t>(0, kMax);
    RC_ASSERT(ParseBytes(StrCat(bytes)).value() == bytes);
  });
  rc::prop("a shown amount reads back to within its last digit", [] {
    const auto bytes = *rc::gen::inRange<int64_t>(0, 1023 * 1024 * kGiB);
    const auto back = ParseBytes(FormatBytes(bytes));
    RC_ASSERT(back.ok());
    RC_ASSERT(std::abs(static_cast<double>(*back - bytes)) <= 0.051 * static_cast<double>(bytes));
  });
  rc::prop("no text crashes the parser, and what it takes is never negative",
           [](const std::string& text) {
             const auto parsed = ParseBytes(text);
             RC_ASSERT((!parsed.ok() || *parsed >= 0));
           });
}

TEST_CASE("saturating arithmetic stops at the ends") {
  CHECK(SaturatingAdd(kMax, 1) == kMax);
  CHECK(SaturatingAdd(kMin, -1) == kMin);
  CHECK(SaturatingAdd(kMax, kMin) == -1);
  CHECK(SaturatingSub(kMin, 1) == kMin);
  CHECK(SaturatingSub(0, kMin) == kMax);
  CHECK(SaturatingSub(-1, kMin) == kMax);
  CHECK(SaturatingMul(kMax, 2) == kMax);
  CHECK(SaturatingMul(kMin, 2) == kMin);
  CHECK(SaturatingMul(kMin, -1) == kMax);
  CHECK(SaturatingMul(kMax, -2) == kMin);
  rc::prop("as wide arithmetic has it", [](int64_t a, int64_t b) {
    __extension__ typedef __int128 Wide;
    const auto clamp = [](Wide value) {
      return static_cast<int64_t>(value > kMax ? Wide{kMax} : value < kMin ? Wide{kMin} : value);
    };
    RC_ASSERT(SaturatingAdd(a, b) == clamp(Wide{a} + b));
    RC_ASSERT(SaturatingSub(a, b) == clamp(Wide{a} - b));
    RC_ASSERT(SaturatingMul(a, b) == clamp(Wide{a} * b));
  });
}

}  // namespace
}  // namespace claw
