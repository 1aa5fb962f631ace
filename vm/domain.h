#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/status.h"

namespace claw::vm {

// What runs the guest's instructions.
enum class DomainType {
  kHvf,   // macOS's hypervisor
  kKvm,   // Linux's, on arm64
  kQemu,  // nothing: QEMU translates them (TCG)
};

std::string_view ToString(DomainType type);  // "hvf", "kvm", "qemu"
StatusOr<DomainType> ParseDomainType(std::string_view text);

// Serials by which a guest knows its disks.
inline constexpr std::string_view kRootSerial = "clawroot";
inline constexpr std::string_view kSeedSerial = "clawseed";
inline constexpr std::string_view kStateSerial = "clawstate";
// Where a guest's agent listens.
inline constexpr int kGuestPort = 50051;

struct Disk {
  std::filesystem::path file{};  // absolute, raw
  std::string serial{};          // at most 20 letters and digits
  bool read_only = false;
};

struct DirectBoot {
  std::filesystem::path kernel{};
  std::filesystem::path initramfs{};
  std::string command_line{};
};

struct EfiBoot {
  std::filesystem::path loader{};  // the firmware, read-only
  std::filesystem::path nvram_template{};
  std::filesystem::path nvram{};  // this domain's own
};

// A whole definition of an arm64 machine. The owner's mark tells it from the domains of others on
// the same libvirt, which are never touched.
struct DomainSpec {
  std::string owner{};  // this agent's instance
  std::string vm{};     // the VM's name
  std::string uuid{};
  DomainType type = DomainType::kQemu;
  std::filesystem::path emulator{};  // empty: as libvirt finds it
  int64_t cpus = 1;
  int64_t memory_bytes = 0;            // rounded down to KiB
  std::optional<DirectBoot> direct{};  // one of the two
  std::optional<EfiBoot> efi{};
  std::vector<Disk> disks{};
  int64_t host_port = 0;  // on 127.0.0.1, forwarded to kGuestPort; 1024 to 65535
  std::filesystem::path console_log{};
};

// INVALID_ARGUMENT for what QEMU or libvirt would take for something else: relative paths, commas
// in what is passed through to QEMU, sizes that are none.
Status CheckDomain(const DomainSpec& spec);

// "OWNER-VM": what libvirt calls it.
std::string DomainName(const std::string& owner, const std::string& vm);

// As libvirt's schema (domain.rng) has it. Of a spec that CheckDomain takes.
std::string ToXml(const DomainSpec& spec);

// Of the one element that ToXml puts into a domain's metadata.
inline constexpr const char* kMarkNamespace = "urn:clawlet:vm:1";

// Whose domain it is, by that element as libvirt gives it out: without its namespace, by which
// libvirt has found it. Absent: nobody's that clawlet knows.
struct DomainMark {
  std::string owner{};
  std::string vm{};

  bool operator==(const DomainMark&) const = default;
};
std::optional<DomainMark> ReadMark(std::string_view metadata);

}  // namespace claw::vm
