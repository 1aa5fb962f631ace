#include "agent/host/mac_facts.h"

#include <catch2/catch.hpp>
#include <set>

#include "agent/base/bytes.h"
#include "agent/base/strings.h"

namespace claw::host {
namespace {

// As sysctl(8) prints them: "name: value".
Sysctls Parse(std::string_view text) {
  Sysctls sysctls;
  for (const std::string_view line : Split(text, '\n', true)) {
    const size_t colon = line.find(": ");
    REQUIRE(colon != std::string_view::npos);
    sysctls[std::string(line.substr(0, colon))] = std::string(line.substr(colon + 2));
  }
  return sysctls;
}

// Written from what Apple documents, none of it read from a Mac.
constexpr std::string_view kM3Pro = R"(hw.model: Mac15,6
machdep.cpu.brand_string: Apple M3 Pro
hw.perflevel0.physicalcpu: 6
hw.perflevel1.physicalcpu: 6
hw.memsize: 38654705664
hw.pagesize: 16384
kern.osproductversion: 15.1
kern.hv_support: 1
kern.memorystatus_vm_pressure_level: 1
)";

TEST_CASE("a Mac is what its kernel says") {
  const auto facts = FactsOfMac(Parse(kM3Pro));
  REQUIRE(facts.ok());
  CHECK(facts->model == "Mac15,6");
  CHECK(facts->chip == "Apple M3 Pro");
  CHECK(facts->chip_generation == 3);
  CHECK(facts->performance_cores == 6);
  CHECK(facts->efficiency_cores == 6);
  CHECK(facts->memory_bytes == 36 * kGiB);
  CHECK(facts->page_size_bytes == 16384);
  CHECK(facts->hypervisor);
  CHECK(facts->nested_virtualisation);
  CHECK(facts->memory_level == MacMemoryLevel::kNormal);
  CHECK(Describe(*facts) == "Apple M3 Pro (Mac15,6), 6 + 6 cores, macOS 15.1");
}

TEST_CASE("what a Mac does not say is not made up; its memory it has to say") {
  Sysctls sysctls = Parse("hw.memsize: 8589934592\nhw.pagesize: 4096\n");
  const auto facts = FactsOfMac(sysctls);
  REQUIRE(facts.ok());
  CHECK(facts->chip_generation == 0);
  CHECK_FALSE(facts->hypervisor);
  CHECK_FALSE(facts->nested_virtualisation);
  CHECK(facts->memory_level == MacMemoryLevel::kUnknown);
  CHECK(Describe(*facts) == "an unknown chip");
  for (const char* bad : {"", "-1", "0", "much"}) {
    INFO(bad);
    sysctls["hw.memsize"] = bad;
    CHECK(FactsOfMac(sysctls).status().code() == StatusCode::kInternal);
  }
  CHECK_FALSE(FactsOfMac({}).ok());
}

TEST_CASE("a chip's generation is the number behind its M") {
  CHECK(ChipGeneration("Apple M1") == 1);
  CHECK(ChipGeneration("Apple M2 Ultra") == 2);
  CHECK(ChipGeneration("Apple M4 Max") == 4);
  CHECK(ChipGeneration("Apple M10") == 10);
  for (const char* other :
       {"", "Apple M", "Apple processor", "Apple Mx", "Apple M-3", "Apple M1000",
        "Intel(R) Core(TM) i7-9750H CPU @ 2.60GHz", "VirtualApple @ 2.50GHz"}) {
    INFO(other);
    CHECK(ChipGeneration(other) == 0);
  }
}

TEST_CASE("guests may have guests from the M3 and macOS 15 on") {
  CHECK(HasNestedVirtualisation(3, "15.0"));
  CHECK(HasNestedVirtualisation(4, "26.1.2"));
  CHECK(HasNestedVirtualisation(3, "15"));
  CHECK_FALSE(HasNestedVirtualisation(2, "15.0"));
  CHECK_FALSE(HasNestedVirtualisation(3, "14.7.1"));
  CHECK_FALSE(HasNestedVirtualisation(3, ""));
  CHECK_FALSE(HasNestedVirtualisation(3, "Sequoia"));
  Sysctls in_guest = Parse(kM3Pro);
  in_guest["kern.hv_support"] = "0";
  CHECK_FALSE(FactsOfMac(in_guest)->nested_virtualisation);
}

TEST_CASE("the kernel's level of memory pressure stands for a stall between the bands") {
  CHECK(ToMemoryLevel("1") == MacMemoryLevel::kNormal);
  CHECK(ToMemoryLevel("2\n") == MacMemoryLevel::kWarning);
  CHECK(ToMemoryLevel("4") == MacMemoryLevel::kCritical);
  CHECK(ToMemoryLevel("3") == MacMemoryLevel::kUnknown);
  CHECK(StallPercent(MacMemoryLevel::kUnknown) == 0);
  CHECK(StallPercent(MacMemoryLevel::kNormal) == 0);
  // pressure.shrink_percent, refuse_percent and evict_percent: 5, 10 and 40.
  CHECK(
      (StallPercent(MacMemoryLevel::kWarning) >= 5 && StallPercent(MacMemoryLevel::kWarning) < 10));
  CHECK((StallPercent(MacMemoryLevel::kCritical) >= 10 &&
         StallPercent(MacMemoryLevel::kCritical) < 40));
}

TEST_CASE("the stall is added up over the time in which the level lasted") {
  using std::chrono::seconds;
  StallAccount account;
  CHECK(account.Add(seconds(100), 20) == 0);
  CHECK(account.Add(seconds(110), 0) == 2'000'000);
  CHECK(account.Add(seconds(120), 7) == 2'000'000);
  CHECK(account.Add(seconds(130), 7) == 2'700'000);
  CHECK(account.Add(seconds(125), 7) == 2'700'000);  // a look that came late
  CHECK(account.Add(seconds(140), 0) == 3'400'000);
}

TEST_CASE("what is free counts once, what files can give back counts too") {
  // vm_stat prints free without what was read ahead, the kernel with it.
  const MacPages pages{.free = 1000, .speculative = 400, .purgeable = 50, .file_backed = 2000};
  CHECK(AvailableBytes(pages, 16384) == (600 + 50 + 2000) * int64_t{16384});
  CHECK(AvailableBytes({}, 16384) == 0);
  CHECK(AvailableBytes({.free = 1, .speculative = 2}, 4096) == 0);
  CHECK(AvailableBytes({.free = INT64_MAX}, 16384) == INT64_MAX);
}

TEST_CASE("Homebrew's folder on Apple's chips goes before the one on Intel's") {
  std::set<std::string> there = {"/usr/local/bin/qemu-system-aarch64",
                                 "/usr/local/lib/libvirt.0.dylib"};
  const auto exists = [&there](const std::filesystem::path& path) {
    return there.count(path.string()) != 0;
  };
  CHECK(FindMacPrograms(exists) == MacPrograms{.emulator = "/usr/local/bin/qemu-system-aarch64",
                                               .libvirt = "/usr/local/lib/libvirt.0.dylib"});
  there.insert("/opt/homebrew/bin/qemu-system-aarch64");
  there.insert("/opt/homebrew/share/qemu/edk2-aarch64-code.fd");
  const MacPrograms found = FindMacPrograms(exists);
  CHECK(found.emulator == "/opt/homebrew/bin/qemu-system-aarch64");
  CHECK(found.firmware == "/opt/homebrew/share/qemu/edk2-aarch64-code.fd");
  CHECK(found.libvirt == "/usr/local/lib/libvirt.0.dylib");
}

}  // namespace
}  // namespace claw::host
