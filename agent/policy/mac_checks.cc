#include "agent/base/bytes.h"
#include "agent/base/strings.h"
#include "agent/policy/hardening.h"

namespace claw::policy {
namespace {

constexpr int64_t kLittleMemoryBytes = 8 * kGiB;
constexpr std::string_view kInstall = "brew bundle --file tools/darwin/Brewfile";

NodeCheck Check(std::string id, std::string title, CheckOutcome otherwise, bool passed,
                std::string evidence, std::string fix) {
  return {.id = std::move(id),
          .title = std::move(title),
          .outcome = passed ? CheckOutcome::kPassed : otherwise,
          .evidence = std::move(evidence),
          .fix = passed ? std::string() : std::move(fix),
          .for_hardened = false};
}

// What is worth knowing, and cannot be mended.
NodeCheck Note(std::string id, std::string title, std::string evidence) {
  return Check(std::move(id), std::move(title), CheckOutcome::kPassed, true, std::move(evidence),
               {});
}

NodeCheck CheckProgram(std::string id, std::string title, CheckOutcome otherwise,
                       const std::string& path) {
  return Check(std::move(id), std::move(title), otherwise, !path.empty(),
               path.empty() ? std::string("it is not in Homebrew's folders") : path,
               std::string(kInstall));
}

std::string_view LevelName(MacMemoryLevel level) {
  switch (level) {
    case MacMemoryLevel::kNormal:
      return "normal";
    case MacMemoryLevel::kWarning:
      return "warning";
    case MacMemoryLevel::kCritical:
      return "critical";
    case MacMemoryLevel::kUnknown:
      break;
  }
  return "not known";
}

}  // namespace

std::vector<NodeCheck> CheckMac(const MacFacts& mac, bool hypervisor_answers) {
  std::vector<NodeCheck> checks;
  checks.push_back(Check("mac.chip", "arm64 guests run on the chip itself", CheckOutcome::kFailed,
                         mac.chip_generation > 0,
                         mac.chip.empty() ? std::string("the chip is not known") : mac.chip,
                         "use a Mac with a chip of Apple's"));
  checks.push_back(Check("mac.hypervisor", "macOS runs VMs here", CheckOutcome::kFailed,
                         mac.hypervisor,
                         StrCat("kern.hv_support is ", mac.hypervisor ? 1 : 0, ", macOS ",
                                mac.os_version.empty() ? "not known" : mac.os_version),
                         "run clawlet on the Mac itself, not in a VM of it"));
  checks.push_back(CheckProgram("mac.libvirt", "libvirt is installed", CheckOutcome::kFailed,
                                mac.programs.libvirt));
  // The config may name another, which libvirt has then found.
  NodeCheck emulator = CheckProgram("mac.emulator", "qemu-system-aarch64 is installed",
                                    CheckOutcome::kFailed, mac.programs.emulator);
  if (hypervisor_answers && mac.programs.emulator.empty()) {
    emulator = Note(emulator.id, emulator.title, "libvirt has found one of its own");
  }
  checks.push_back(std::move(emulator));
  checks.push_back(CheckProgram("mac.firmware", "guests that boot by EFI find a firmware",
                                CheckOutcome::kWarning, mac.programs.firmware));
  checks.push_back(Check(
      "mac.memory", "there is memory for guests", CheckOutcome::kWarning,
      mac.memory_bytes >= kLittleMemoryBytes,
      StrCat(FormatBytes(mac.memory_bytes), ", graphics' part included"),
      StrCat("VMs of 1 GiB may fit; ", FormatBytes(kLittleMemoryBytes), " and more are usual")));
  checks.push_back(Check(
      "mac.memory-pressure", "macOS is not short of memory", CheckOutcome::kWarning,
      mac.memory_level != MacMemoryLevel::kWarning && mac.memory_level != MacMemoryLevel::kCritical,
      StrCat("its level is ", LevelName(mac.memory_level)),
      "stop VMs or other programs, or raise reserves.system"));
  checks.push_back(
      Note("mac.nested", "whether guests can have VMs of their own",
           mac.nested_virtualisation
               ? "they can"
               : "they cannot (that takes an M3 and macOS 15): gVisor runs there without KVM"));
  checks.push_back(
      Note("mac.page-size", "whose pages gVisor sees",
           StrCat(mac.page_size_bytes, " bytes here; guests have pages of 4096, as gVisor wants")));
  return checks;
}

std::vector<NodeCheck> CheckVms(const VmFacts& vms) {
  std::vector<NodeCheck> checks;
  checks.push_back(Check("vm.hypervisor", "libvirt answers and runs arm64 guests",
                         CheckOutcome::kFailed, vms.hypervisor_problem.empty(),
                         vms.hypervisor_problem.empty() ? vms.hypervisor : vms.hypervisor_problem,
                         "mend what the evidence says, or see vm.uri, vm.type and vm.emulator"));
  checks.push_back(Check("vm.image", "the guests' image is there and whole", CheckOutcome::kFailed,
                         vms.image_problem.empty(),
                         vms.image_problem.empty() ? vms.image : vms.image_problem,
                         "make it with tools/guest-image on Linux and copy it to vm.image"));
  return checks;
}

}  // namespace claw::policy
