#include "vm/domain.h"

#include <algorithm>
#include <array>

#include "agent/base/bytes.h"
#include "agent/base/strings.h"

namespace claw::vm {
namespace {

// How often the guest's balloon tells how its memory is used, in seconds.
constexpr int kStatsPeriod = 5;
constexpr size_t kMaxPathBytes = 1024;

struct TypeName {
  DomainType type;
  std::string_view name;
};
constexpr std::array<TypeName, 3> kTypes = {
    {{DomainType::kHvf, "hvf"}, {DomainType::kKvm, "kvm"}, {DomainType::kQemu, "qemu"}}};

// Paths, too.
std::string Escape(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '\'':
        out += "&apos;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

Status CheckText(std::string_view what, std::string_view text, size_t most) {
  const bool sane =
      !text.empty() && text.size() <= most &&
      std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c != '\x7f'; });
  if (sane) return absl::OkStatus();
  return InvalidArgument(what, " has to be 1 to ", most, " printable characters");
}

Status CheckPath(std::string_view what, const std::filesystem::path& path) {
  RETURN_IF_ERROR(CheckText(what, path.string(), kMaxPathBytes));
  if (path.is_absolute()) return absl::OkStatus();
  return InvalidArgument(what, " is not an absolute path: ", path.string());
}

bool IsWord(std::string_view text, size_t most) {
  return !text.empty() && text.size() <= most && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

Status CheckBoot(const DomainSpec& spec) {
  if (spec.direct.has_value() == spec.efi.has_value()) {
    return InvalidArgument("a domain boots a kernel or a firmware, one of the two");
  }
  if (spec.efi) {
    RETURN_IF_ERROR(CheckPath("the firmware", spec.efi->loader));
    RETURN_IF_ERROR(CheckPath("the template of its variables", spec.efi->nvram_template));
    return CheckPath("the file of its variables", spec.efi->nvram);
  }
  RETURN_IF_ERROR(CheckPath("the kernel", spec.direct->kernel));
  RETURN_IF_ERROR(CheckPath("the initramfs", spec.direct->initramfs));
  return CheckText("the kernel's command line", spec.direct->command_line, 2048);
}

std::string Os(const DomainSpec& spec) {
  std::string xml = "  <os>\n    <type arch='aarch64' machine='virt'>hvm</type>\n";
  if (spec.direct) {
    xml += StrCat("    <kernel>", Escape(spec.direct->kernel), "</kernel>\n    <initrd>",
                  Escape(spec.direct->initramfs), "</initrd>\n    <cmdline>",
                  Escape(spec.direct->command_line), "</cmdline>\n");
  } else {
    xml += StrCat("    <loader readonly='yes' type='pflash'>", Escape(spec.efi->loader),
                  "</loader>\n    <nvram template='", Escape(spec.efi->nvram_template), "'>",
                  Escape(spec.efi->nvram), "</nvram>\n    <boot dev='hd'/>\n");
  }
  return xml + "  </os>\n";
}

// QEMU's store of translated code, which would grow to 1 GiB: as much as nobody charges.
constexpr int kTranslationMiB = 128;

// Version 2 of the interrupt controller is what every host has, for up to 8 processors. With a
// kernel that is booted directly there are no ACPI tables.
std::string Features(const DomainSpec& spec) {
  return StrCat("  <features>\n", spec.efi ? "    <acpi/>\n" : "", "    <gic version='2'/>\n",
                spec.type == DomainType::kQemu
                    ? StrCat("    <tcg>\n      <tb-cache unit='MiB'>", kTranslationMiB,
                             "</tb-cache>\n    </tcg>\n")
                    : std::string(),

                "  </features>\n");
}

// Under TCG a modest model boots in half the time that `max` takes (measured: 6 s against 12).
std::string Cpu(DomainType type) {
  if (type != DomainType::kQemu) return "  <cpu mode='host-passthrough' check='none'/>\n";
  return "  <cpu mode='custom' match='exact' check='none'>\n"
         "    <model fallback='forbid'>cortex-a76</model>\n  </cpu>\n";
}

std::string DiskXml(const Disk& disk, size_t index) {
  return StrCat(
      "    <disk type='file' device='disk'>\n", "      <driver name='qemu' type='raw' cache='",
      disk.read_only ? "writeback" : "none", "'", disk.read_only ? "" : " discard='unmap'",
      "/>\n      <source file='", Escape(disk.file), "'/>\n      <target dev='vd",
      std::string(1, static_cast<char>('a' + index)), "' bus='virtio'/>\n      <serial>",
      Escape(disk.serial), "</serial>\n", disk.read_only ? "      <readonly/>\n" : "",
      "    </disk>\n");
}

std::string Devices(const DomainSpec& spec) {
  std::string xml = "  <devices>\n";
  if (!spec.emulator.empty())
    xml += StrCat("    <emulator>", Escape(spec.emulator), "</emulator>\n");
  for (size_t i = 0; i < spec.disks.size(); ++i) xml += DiskXml(spec.disks[i], i);
  return xml +
         StrCat("    <controller type='usb' model='none'/>\n",
                "    <serial type='file'>\n      <source path='", Escape(spec.console_log),
                "' append='on'/>\n      <target port='0'/>\n    </serial>\n",
                "    <console type='file'>\n      <source path='", Escape(spec.console_log),
                "' append='on'/>\n      <target type='serial' port='0'/>\n    </console>\n",
                // A guest that is full refuses work; it takes back nothing that the host has given
                // to others.
                "    <memballoon model='virtio' autodeflate='off' freePageReporting='on'>\n",
                "      <stats period='", kStatsPeriod, "'/>\n    </memballoon>\n",
                "    <rng model='virtio'>\n      <backend model='random'>/dev/urandom</backend>\n",
                "    </rng>\n  </devices>\n");
}

// libvirt 9 knows no forwarded ports for the user network (they come with passt, which a Mac lacks
// and Debian 12 refuses), so QEMU is told itself. `restrict`: the guest reaches nobody, not even
// its host; the forwarded port is the only way in.
std::string Network(const DomainSpec& spec) {
  return StrCat("  <qemu:commandline>\n    <qemu:arg value='-netdev'/>\n    <qemu:arg value='user,",
                "id=clawnet,restrict=on,hostfwd=tcp:127.0.0.1:", spec.host_port, "-:", kGuestPort,
                "'/>\n    <qemu:arg value='-device'/>\n    <qemu:arg value='virtio-net-pci,",
                "netdev=clawnet,addr=0x1e,romfile='/>\n  </qemu:commandline>\n");
}

// The value of an attribute of clawlet's own element; those that are looked for need no escaping.
std::string AttributeOf(std::string_view element, std::string_view name) {
  for (const char quote : {'\'', '"'}) {
    const std::string start = StrCat(" ", name, "=", std::string(1, quote));
    const size_t at = element.find(start);
    if (at == std::string_view::npos) continue;
    const std::string_view rest = element.substr(at + start.size());
    const size_t end = rest.find(quote);
    if (end != std::string_view::npos) return std::string(rest.substr(0, end));
  }
  return "";
}

}  // namespace

std::string_view ToString(DomainType type) {
  for (const TypeName& known : kTypes) {
    if (known.type == type) return known.name;
  }
  return "?";
}

StatusOr<DomainType> ParseDomainType(std::string_view text) {
  for (const TypeName& known : kTypes) {
    if (known.name == text) return known.type;
  }
  return InvalidArgument("'", text, "' is no type of domain: hvf, kvm or qemu");
}

Status CheckDomain(const DomainSpec& spec) {
  if (!IsWord(spec.owner, 63) || !IsWord(spec.vm, 63)) {
    return InvalidArgument("a domain's owner and name are of a-z, 0-9 and '-'");
  }
  const bool uuid = spec.uuid.size() == 36 && IsWord(spec.uuid, 36);
  if (!uuid) return InvalidArgument("'", spec.uuid, "' is no UUID");
  if (spec.cpus < 1 || spec.cpus > 8) return InvalidArgument("a domain has 1 to 8 processors");
  if (spec.memory_bytes < 64 * kMiB || spec.memory_bytes > 1024 * kGiB) {
    return InvalidArgument("a domain has 64 MiB to 1 TiB of memory");
  }
  if (spec.host_port < 1024 || spec.host_port > 65535) {
    return InvalidArgument("port ", spec.host_port, " does not lie between 1024 and 65535");
  }
  RETURN_IF_ERROR(CheckBoot(spec));
  if (!spec.emulator.empty()) RETURN_IF_ERROR(CheckPath("the emulator", spec.emulator));
  RETURN_IF_ERROR(CheckPath("the console's log", spec.console_log));
  if (spec.disks.size() > 16) return InvalidArgument("a domain has at most 16 disks");
  for (const Disk& disk : spec.disks) {
    RETURN_IF_ERROR(CheckPath("a disk", disk.file));
    if (!IsWord(disk.serial, 20)) return InvalidArgument("'", disk.serial, "' is no serial");
  }
  return absl::OkStatus();
}

std::string DomainName(const std::string& owner, const std::string& vm) {
  return StrCat(owner, "-", vm);
}

std::string ToXml(const DomainSpec& spec) {
  const int64_t memory = spec.memory_bytes / kKiB;
  return StrCat("<domain type='", ToString(spec.type),
                "' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\n  <name>",
                DomainName(spec.owner, spec.vm), "</name>\n  <uuid>", spec.uuid,
                "</uuid>\n  <metadata>\n    <claw:vm xmlns:claw='", kMarkNamespace, "' owner='",
                spec.owner, "' name='", spec.vm, "'/>\n  </metadata>\n  <memory unit='KiB'>",
                memory, "</memory>\n  <currentMemory unit='KiB'>", memory,
                "</currentMemory>\n  <vcpu placement='static'>", spec.cpus, "</vcpu>\n") +
         Os(spec) + Features(spec) + Cpu(spec.type) +
         "  <clock offset='utc'/>\n  <on_poweroff>destroy</on_poweroff>\n"
         "  <on_reboot>restart</on_reboot>\n  <on_crash>destroy</on_crash>\n" +
         Devices(spec) + Network(spec) + "</domain>\n";
}

std::optional<DomainMark> ReadMark(std::string_view metadata) {
  const std::string_view element = Trim(metadata);
  constexpr std::string_view kStart = "<vm ";
  constexpr std::string_view kEnd = "/>";
  const bool one = element.starts_with(kStart) && element.ends_with(kEnd) &&
                   element.find_first_of("<>", 1) == element.size() - 1;
  if (!one) return std::nullopt;
  DomainMark mark{.owner = AttributeOf(element, "owner"), .vm = AttributeOf(element, "name")};
  if (!IsWord(mark.owner, 63) || !IsWord(mark.vm, 63)) return std::nullopt;
  return mark;
}

}  // namespace claw::vm
