#include "agent/host/pressure.h"

#include <catch2/catch.hpp>

#include "agent/base/bytes.h"
#include "agent/base/file.h"
#include "tests/support/temp_dir.h"

namespace claw::host {
namespace {

constexpr char kPressure[] =
    "some avg10=12.50 avg60=1.60 avg300=0.34 total=1631421\n"
    "full avg10=6.87 avg60=1.37 avg300=0.29 total=1340453\n";
constexpr char kMeminfo[] = "MemTotal: 100 kB\nMemFree: 50 kB\nMemAvailable:   80 kB\n";

TEST_CASE("the kernel's figures of pressure are read") {
  const auto pressure = ParseMemoryPressure(kPressure, kMeminfo);
  REQUIRE(pressure.ok());
  CHECK(pressure->some_micros == 1'631'421);
  CHECK(pressure->full_micros == 1'340'453);
  CHECK(pressure->some_avg10_percent == 12.5);
  CHECK(pressure->available_bytes == 80 * kKiB);
  CHECK(pressure->total_bytes == 100 * kKiB);
}

TEST_CASE("what is not the kernel's form is an error, not a calm machine") {
  for (const char* text :
       {"", "full avg10=0.00 total=1\n", "some avg10=0.00\n", "some total=5\n",
        "some avg10=nan total=1\n", "some avg10=1.0x total=1\n", "some avg10=-1 total=1\n",
        "some avg10=0.00 total=-5\n", "some avg10=0.00 total=9223372036854775808\n"}) {
    INFO(text);
    CHECK(ParseMemoryPressure(text, kMeminfo).status().code() == StatusCode::kDataLoss);
  }
  for (const char* text : {"", "MemAvailable: x kB\n", "MemAvailable:\n", "MemFree: 5 kB\n"}) {
    INFO(text);
    CHECK(ParseMemoryPressure(kPressure, text).status().code() == StatusCode::kDataLoss);
  }
  // A line of a later kernel does no harm.
  CHECK(ParseMemoryPressure(std::string(kPressure) + "most avg10=1\n", kMeminfo).ok());
}

TEST_CASE("this machine says how it stands, and takes a trigger") {
  const auto first = ReadMemoryPressure();
  REQUIRE(first.ok());
  CHECK(first->available_bytes > 0);
  CHECK(first->total_bytes >= first->available_bytes);
  const auto second = ReadMemoryPressure();
  REQUIRE(second.ok());
  CHECK(second->at >= first->at);
  CHECK(second->some_micros >= first->some_micros);
  const auto trigger = WatchMemoryStall(0.05);
  INFO(ToLogString(trigger.status()));
  CHECK(trigger.ok());
}

TEST_CASE("a kernel without an account of pressure says so") {
  const test::TempDir dir;
  REQUIRE(WriteFileAtomic(dir.path() / "meminfo", kMeminfo, 0600, false).ok());
  CHECK(ReadMemoryPressure(dir.path()).status().code() == StatusCode::kUnimplemented);
  CHECK(WatchMemoryStall(0.05, dir.path()).status().code() == StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace claw::host
