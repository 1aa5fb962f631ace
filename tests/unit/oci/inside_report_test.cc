#include <catch2/catch.hpp>

#include "agent/base/strings.h"
#include "drivers/gvisor/gvisor_driver.h"

namespace claw::drivers {
namespace {

constexpr char kNonce[] = "0011223344556677";

std::string Report(const std::string& fields) {
  return StrCat("clawlet-proof ", kNonce, " ", fields, "\n");
}

TEST_CASE("the starter's report is read field by field") {
  const auto report = ParseInsideReport(
      Report("release=4.4.0 version=#1_SMP klog=[0.0]_Starting_gVisor... memory=67108864 exec=2"),
      kNonce);
  REQUIRE(report.ok());
  CHECK(report->release == "4.4.0");
  CHECK(report->version == "#1_SMP");
  CHECK(report->kernel_log == "[0.0]_Starting_gVisor...");
  CHECK(report->memory_bytes == 64 * kMiB);
  CHECK(report->exec_error == 2);
}

TEST_CASE("what is not the starter's report is DATA_LOSS") {
  const std::string lines[] = {
      "",
      "\n",
      "hello",
      "clawlet-proof",
      StrCat("clawlet-proof ", kNonce),
      // Somebody who has read this test, but not the nonce.
      "clawlet-proof 7766554433221100 release=4.4.0 klog=Starting_gVisor memory=1 exec=0",
      StrCat("x clawlet-proof ", kNonce, " release=4.4.0 memory=1 exec=0"),
      StrCat("CLAWLET-PROOF ", kNonce, " release=4.4.0 memory=1 exec=0"),
      Report("release=4.4.0 memory=1"),
      Report("release=4.4.0 exec=0"),
      Report("memory=1 exec=0"),
      Report("release= memory=1 exec=0"),
      Report("release=4.4.0 memory=many exec=0"),
      Report("release=4.4.0 memory=99999999999999999999 exec=0"),
      Report("release=4.4.0 memory=1 exec=no"),
      Report("release 4.4.0 memory 1 exec 0"),
  };
  for (const std::string& line : lines) {
    INFO(line);
    CHECK(ParseInsideReport(line, kNonce).status().code() == StatusCode::kDataLoss);
  }
}

TEST_CASE("only a kernel that says it is gVisor, and is not the host's, passes (I1)") {
  InsideReport report{.release = "4.4.0",
                      .version = "#1",
                      .kernel_log = "[____0.000000]_Starting_gVisor...",
                      .memory_bytes = 1,
                      .exec_error = 0};
  CHECK(CheckIsGvisor(report, "6.1.0-18-amd64").ok());
  SECTION("the host's release") { CHECK_FALSE(CheckIsGvisor(report, "4.4.0").ok()); }
  SECTION("a Linux kernel's log") {
    report.kernel_log = "[____0.000000]_Linux_version_6.1.0";
    CHECK_FALSE(CheckIsGvisor(report, "6.1.0-18-amd64").ok());
  }
  SECTION("no log at all") {
    report.kernel_log = "";
    CHECK_FALSE(CheckIsGvisor(report, "6.1.0-18-amd64").ok());
  }
  SECTION("nearly its words") {
    report.kernel_log = "starting_gvisor";
    CHECK_FALSE(CheckIsGvisor(report, "6.1.0-18-amd64").ok());
  }
}

}  // namespace
}  // namespace claw::drivers
