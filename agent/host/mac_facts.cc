#include "agent/host/mac_facts.h"

#include <algorithm>

#include "agent/base/bytes.h"
#include "agent/base/strings.h"

namespace claw::host {
namespace {

constexpr int kNestedFromChip = 3;
constexpr int64_t kNestedFromOs = 15;
constexpr std::array<std::string_view, 2> kPrefixes = {"/opt/homebrew", "/usr/local"};

std::string_view TextOf(const Sysctls& sysctls, std::string_view name) {
  const auto it = sysctls.find(name);
  return it == sysctls.end() ? std::string_view() : Trim(it->second);
}

int64_t NumberOf(const Sysctls& sysctls, std::string_view name) {
  int64_t number = 0;
  return ParseInt(TextOf(sysctls, name), &number) ? number : 0;
}

StatusOr<int64_t> Needed(const Sysctls& sysctls, std::string_view name) {
  int64_t number = 0;
  const std::string_view text = TextOf(sysctls, name);
  if (ParseInt(text, &number) && number > 0) return number;
  return Internal("the kernel says '", text, "' for ", name);
}

}  // namespace

int ChipGeneration(std::string_view chip) {
  constexpr std::string_view kStart = "Apple M";
  if (!chip.starts_with(kStart)) return 0;
  chip.remove_prefix(kStart.size());
  const std::string_view number = chip.substr(0, chip.find(' '));
  int64_t generation = 0;
  if (!ParseInt(number, &generation) || generation < 1 || generation > 99) return 0;
  return static_cast<int>(generation);
}

bool HasNestedVirtualisation(int chip_generation, std::string_view os_version) {
  int64_t major = 0;
  return chip_generation >= kNestedFromChip &&
         ParseInt(os_version.substr(0, os_version.find('.')), &major) && major >= kNestedFromOs;
}

MacMemoryLevel ToMemoryLevel(std::string_view sysctl) {
  const std::string_view text = Trim(sysctl);
  if (text == "1") return MacMemoryLevel::kNormal;
  if (text == "2") return MacMemoryLevel::kWarning;
  if (text == "4") return MacMemoryLevel::kCritical;
  return MacMemoryLevel::kUnknown;
}

StatusOr<MacFacts> FactsOfMac(const Sysctls& sysctls) {
  MacFacts facts;
  facts.model = std::string(TextOf(sysctls, "hw.model"));
  facts.chip = std::string(TextOf(sysctls, "machdep.cpu.brand_string"));
  facts.chip_generation = ChipGeneration(facts.chip);
  facts.performance_cores = NumberOf(sysctls, "hw.perflevel0.physicalcpu");
  facts.efficiency_cores = NumberOf(sysctls, "hw.perflevel1.physicalcpu");
  ASSIGN_OR_RETURN(facts.memory_bytes, Needed(sysctls, "hw.memsize"));
  ASSIGN_OR_RETURN(facts.page_size_bytes, Needed(sysctls, "hw.pagesize"));
  facts.os_version = std::string(TextOf(sysctls, "kern.osproductversion"));
  facts.hypervisor = NumberOf(sysctls, "kern.hv_support") == 1;
  facts.nested_virtualisation =
      facts.hypervisor && HasNestedVirtualisation(facts.chip_generation, facts.os_version);
  facts.memory_level = ToMemoryLevel(TextOf(sysctls, "kern.memorystatus_vm_pressure_level"));
  return facts;
}

std::string Describe(const MacFacts& facts) {
  std::string text = facts.chip.empty() ? std::string("an unknown chip") : facts.chip;
  if (!facts.model.empty()) text += StrCat(" (", facts.model, ")");
  if (facts.performance_cores > 0) {
    text += StrCat(", ", facts.performance_cores, " + ", facts.efficiency_cores, " cores");
  }
  if (!facts.os_version.empty()) text += StrCat(", macOS ", facts.os_version);
  return text;
}

int64_t AvailableBytes(const MacPages& pages, int64_t page_size_bytes) {
  const int64_t free = std::max<int64_t>(0, SaturatingSub(pages.free, pages.speculative));
  const int64_t all = SaturatingAdd(free, SaturatingAdd(pages.purgeable, pages.file_backed));
  return SaturatingMul(std::max<int64_t>(0, all), page_size_bytes);
}

double StallPercent(MacMemoryLevel level) {
  switch (level) {
    case MacMemoryLevel::kWarning:
      return 7;
    case MacMemoryLevel::kCritical:
      return 20;
    case MacMemoryLevel::kUnknown:
    case MacMemoryLevel::kNormal:
      break;
  }
  return 0;
}

int64_t StallAccount::Add(std::chrono::microseconds at, double percent) {
  if (last_.count() > 0 && at > last_) {
    micros_ += static_cast<double>((at - last_).count()) * percent_ / 100;
  }
  last_ = std::max(last_, at);
  percent_ = percent;
  return static_cast<int64_t>(micros_);
}

MacPrograms FindMacPrograms(const std::function<bool(const std::filesystem::path&)>& exists) {
  const auto find = [&exists](std::string_view below) {
    for (const std::string_view prefix : kPrefixes) {
      const std::string path = StrCat(prefix, "/", below);
      if (exists(path)) return path;
    }
    return std::string();
  };
  return {.emulator = find("bin/qemu-system-aarch64"),
          .firmware = find("share/qemu/edk2-aarch64-code.fd"),
          .libvirt = find("lib/libvirt.0.dylib")};
}

}  // namespace claw::host
