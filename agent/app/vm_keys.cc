#include "agent/app/vm_keys.h"

#include "agent/app/key_makers.h"

namespace claw {
namespace {

constexpr int64_t kMaxVms = 1000;
// Less than that does not hold a guest's kernel and its agent.
constexpr int64_t kMinFloorBytes = 256 * kMiB;

// libvirt reads it.
constexpr std::string_view kUriForm = "a libvirt URI, as in \"qemu:///system\", or \"\"";

Status CheckUri(const std::string& text) {
  const bool sane = text.size() <= 1024 && std::all_of(text.begin(), text.end(),
                                                       [](char c) { return c > ' ' && c <= '~'; });
  return sane ? absl::OkStatus() : keys::WrongType(kUriForm);
}

}  // namespace

void AddVmKeys(std::vector<ConfigKey>& keys) {
  keys.push_back(
      keys::Switch("vm.enabled", "Sandboxes may run in arm64 VMs, too", FIELD(vm.enabled)));
  keys.push_back(keys::Checked("vm.uri",
                               "The libvirt that runs them; one of the agent's own unless set",
                               kUriForm, CheckUri, FIELD(vm.uri)));
  keys.push_back(keys::Choice("vm.type", "The first that works here unless set; qemu emulates",
                              "\"hvf\", \"kvm\" or \"qemu\"", {"hvf", "kvm", "qemu"},
                              FIELD(vm.type)));
  keys.push_back(keys::Path("vm.emulator", "qemu-system-aarch64; as libvirt finds it unless set",
                            FIELD(vm.emulator)));
  keys.push_back(keys::Path("vm.image", "Folder that tools/guest-image made", FIELD(vm.image)));
  keys.push_back(keys::Number("vm.most", "Most VMs that run at a time; 0: as memory allows", 0,
                              kMaxVms, FIELD(vm.most)));
  keys.push_back(keys::Number("vm.pool", "… that come when a sandbox needs one; 0: none do", 0,
                              kMaxVms, FIELD(vm.pool)));
  keys.push_back(keys::Number("vm.idle_seconds",
                              "When one of those has nothing in it: until it goes", 1, 1'000'000,
                              FIELD(vm.idle_seconds)));
  keys.push_back(keys::Number("vm.cpus", "Of a VM for which nothing else is asked", 1, kMaxVmCpus,
                              FIELD(vm.cpus)));
  keys.push_back(
      keys::Bytes("vm.memory", "… its memory", kMinVmMemoryBytes, FIELD(vm.memory_bytes)));
  keys.push_back(keys::Bytes("vm.disk", "… its disk, which takes what is used", kMinVmDiskBytes,
                             FIELD(vm.disk_bytes)));
  keys.push_back(keys::Bytes("vm.overhead",
                             "What QEMU takes beside a guest's memory, until it is measured", 0,
                             FIELD(vm.overhead_bytes)));
  keys.push_back(keys::Bytes("vm.memory_floor",
                             "No guest is left less of its memory when the host needs some",
                             kMinFloorBytes, FIELD(vm.memory_floor_bytes)));
  keys.push_back(keys::Number("vm.start_seconds", "How long a guest may take to come up", 1, 3600,
                              FIELD(vm.start_seconds)));
  keys.push_back(keys::Number("vm.stop_seconds", "… and to switch itself off", 0, 3600,
                              FIELD(vm.stop_seconds)));
}

lifecycle::VmRules MakeVmRules(const Config& config) {
  lifecycle::VmRules rules;
  rules.defaults = {.cpus = config.vm.cpus,
                    .memory_bytes = config.vm.memory_bytes,
                    .disk_bytes = config.vm.disk_bytes};
  rules.most = config.vm.most;
  rules.pool = config.vm.pool;
  rules.idle_time = std::chrono::seconds(config.vm.idle_seconds);
  rules.overhead_bytes = config.vm.overhead_bytes;
  rules.memory_floor_bytes = config.vm.memory_floor_bytes;
  rules.start_timeout = std::chrono::seconds(config.vm.start_seconds);
  rules.stop_grace = std::chrono::seconds(config.vm.stop_seconds);
  return rules;
}

}  // namespace claw
