#include "agent/app/config_keys.h"

#include "agent/app/key_makers.h"
#include "agent/app/network_keys.h"
#include "agent/app/server_keys.h"
#include "agent/app/vm_keys.h"

namespace claw {
namespace {

using namespace keys;  // NOLINT: what makes keys, and nothing else

constexpr int64_t kMaxWeight = 1000;
constexpr int64_t kMaxEvents = 100'000'000;
constexpr int64_t kMaxFiles = 1'000'000'000;
constexpr int64_t kMaxSandboxes = 1'000'000;

void AddNodeKeys(std::vector<ConfigKey>& keys) {
  keys.push_back(Text("node.id", "Name of this node; the host's name unless set", FIELD(node_id)));
  keys.push_back(Bytes("node.memory",
                       "Memory that the node may use; all of the machine's unless set", 64 * kMiB,
                       FIELD(memory_bytes)));
  keys.push_back(
      Path("node.state_dir", "What has to survive a reboot; mode 0700", FIELD(state_dir)));
  keys.push_back(Path("node.run_dir", "What need not; mode 0711", FIELD(run_dir)));
  keys.push_back(Named("node.class",
                       "hardened: takes legacy code that gVisor cannot run, and nothing else",
                       "\"standard\" or \"hardened\"", ParseNodeClass,
                       {NodeClass::kStandard, NodeClass::kHardened}, FIELD(node_class)));
  keys.push_back(Named("node.role", "guest: runs in a VM, for the host that started it",
                       "\"host\" or \"guest\"", ParseNodeRole, {NodeRole::kHost, NodeRole::kGuest},
                       FIELD(role)));
  keys.push_back(Pairs("node.labels", "What sandboxes may ask for", FIELD(labels)));
  keys.push_back(Pairs("node.taints", "What sandboxes have to bear to come here", FIELD(taints)));
  keys.push_back(Bytes("reserves.system",
                       "Kept for the system: 5% of the memory, 256 MiB to 1 GiB, unless set", 0,
                       FIELD(system_reserve_bytes)));
  keys.push_back(Bytes("reserves.agent", "Kept for the agent: 64 MiB unless set", 0,
                       FIELD(agent_reserve_bytes)));
  keys.push_back(Bytes("reserves.eviction", "Always kept free: 100 MiB unless set", 0,
                       FIELD(eviction_reserve_bytes)));
  keys.push_back(Number("budget.overhead_quantile_percent",
                        "Quantile of what runtimes were measured to cost that is charged", 50, 100,
                        FIELD(overhead_quantile_percent)));
  keys.push_back(Number("budget.overhead_half_life_hours",
                        "After so long a measurement counts half", 1, 24 * 365,
                        FIELD(overhead_half_life_hours)));
  keys.push_back(Number("budget.measure_seconds", "How often sandboxes are measured", 1, 3600,
                        FIELD(measure_seconds)));
  keys.push_back(Number("budget.window_seconds",
                        "The highest measurement of so long a time counts once", 1, 24 * 3600,
                        FIELD(window_seconds)));
  keys.push_back(Number("budget.out_of_memory_one_in",
                        "Burstable sandboxes may together want too much once in so many looks", 2,
                        1'000'000'000, FIELD(out_of_memory_one_in)));
}

void AddLimitKeys(std::vector<ConfigKey>& keys) {
  keys.push_back(Number("pressure.shrink_percent",
                        "Caches go when programs wait for memory this share of the time", 1, 100,
                        FIELD(pressure_shrink_percent)));
  keys.push_back(Number("pressure.refuse_percent", "Nothing is started at this share", 1, 100,
                        FIELD(pressure_refuse_percent)));
  keys.push_back(Number("pressure.evict_percent",
                        "Sandboxes over their request go at this share, if memory has run out", 1,
                        100, FIELD(pressure_evict_percent)));
  keys.push_back(Number("pressure.calm_seconds", "How long it has to be calm before that ends", 1,
                        3600, FIELD(pressure_calm_seconds)));
  keys.push_back(Number("pressure.eviction_grace_seconds",
                        "Time between SIGTERM and SIGKILL for who has to go", 0, 3600,
                        FIELD(eviction_grace_seconds)));
  keys.push_back(Number("limits.sandboxes", "Most sandboxes at a time; 0: as memory allows", 0,
                        kMaxSandboxes, FIELD(max_sandboxes)));
  keys.push_back(Number("limits.runc", "Of them in containers; 0: as memory allows", 0,
                        kMaxSandboxes, FIELD(max_runc)));
  keys.push_back(Number("limits.gvisor", "Of them under gVisor; 0: as memory allows", 0,
                        kMaxSandboxes, FIELD(max_gvisor)));
  keys.push_back(Number("limits.runc_starts_per_cpu", "Starts of containers at once, for each CPU",
                        1, 1000, FIELD(runc_starts_per_cpu)));
  keys.push_back(Number("limits.gvisor_starts_per_cpu",
                        "Starts under gVisor at once, for each CPU; more than 2 only queue", 1,
                        1000, FIELD(gvisor_starts_per_cpu)));
  keys.push_back(Number("limits.start_queue", "Most starts that wait for their turn", 0, 100'000,
                        FIELD(start_queue)));
}

void AddPlacementKeys(std::vector<ConfigKey>& keys) {
  keys.push_back(Number("placement.weight_fit", "How much it counts that little memory is left", 0,
                        kMaxWeight, FIELD(weight_fit)));
  keys.push_back(Number("placement.weight_image", "… that the image is there", 0, kMaxWeight,
                        FIELD(weight_image)));
  keys.push_back(Number("placement.weight_spread", "… that few of the tenant's sandboxes are there",
                        0, kMaxWeight, FIELD(weight_spread)));
  keys.push_back(Number("placement.weight_native", "… that the processor is not emulated", 0,
                        kMaxWeight, FIELD(weight_native)));
  keys.push_back(Number("placement.weight_warm", "… that no VM has to be started first", 0,
                        kMaxWeight, FIELD(weight_warm)));
  keys.push_back(
      Switch("placement.allow_emulated", "Emulated targets take work, too", FIELD(allow_emulated)));
  keys.push_back(Number("placement.cpu_overcommit_percent",
                        "Most that the ceilings of all sandboxes sum up to, in percent of the "
                        "CPUs; 0: no bound",
                        0, 100'000, FIELD(cpu_overcommit_percent)));
  keys.push_back(Bytes("placement.min_free_disk", "Nothing is started with less free disk", 0,
                       FIELD(min_free_disk_bytes)));
}

void AddPolicyKeys(std::vector<ConfigKey>& keys) {
  keys.push_back(Named("policy.trusted_class", "Where trusted code runs",
                       "\"container\" or \"gvisor\"", ParseIsolationClass,
                       {IsolationClass::kContainer, IsolationClass::kGvisor},
                       FIELD(trusted_class)));
  keys.push_back(Switch("policy.accept_degraded",
                        "Images whose degraded verdict was accepted may run",
                        FIELD(accept_degraded)));
  keys.push_back(
      Switch("policy.allow_overrides", "Overrides of verdicts count", FIELD(allow_overrides)));
  keys.push_back(Switch("policy.require_signer",
                        "Images of tenants that are not trusted have to be signed",
                        FIELD(require_signer)));
  keys.push_back(Switch("policy.compat_baseline",
                        "Images may be run in a stripped container to compare",
                        FIELD(compat_baseline)));
  keys.push_back(Number("policy.max_override_hours", "Longest life of an override", 1, 720,
                        FIELD(max_override_hours)));
}

void AddDriverKeys(std::vector<ConfigKey>& keys) {
  keys.push_back(Text("drivers.conmon", "The program that supervises sandboxes", FIELD(conmon)));
  keys.push_back(Path("drivers.starter",
                      "clawlet-starter; beside the agent, or in ../libexec/clawlet",
                      FIELD(starter)));
  keys.push_back(Bytes("drivers.log_max", "Most that is kept of a sandbox's output", 64 * kKiB,
                       FIELD(sandbox_log_bytes)));
  keys.push_back(
      Switch("drivers.runc.enabled", "Containers, for trusted tenants", FIELD(runc.enabled)));
  keys.push_back(Text("drivers.runc.path", "runc's name or path", FIELD(runc.path)));
  keys.push_back(
      Switch("drivers.gvisor.enabled", "gVisor, for everyone else", FIELD(gvisor.enabled)));
  keys.push_back(Text("drivers.gvisor.path", "runsc's name or path", FIELD(gvisor.path)));
  keys.push_back(Choice(
      "drivers.gvisor.platform", "The first of systrap and ptrace that works unless set",
      "\"systrap\", \"ptrace\" or \"kvm\"", {"systrap", "ptrace", "kvm"}, FIELD(gvisor.platform)));
}

void AddOtherKeys(std::vector<ConfigKey>& keys) {
  keys.push_back(Choice("log.level", "What is logged", "\"debug\", \"info\", \"warn\" or \"error\"",
                        {"debug", "info", "warn", "error"}, FIELD(log_level)));
  keys.push_back(Choice("log.format", "How: lines of text, or one JSON object a line",
                        "\"text\" or \"json\"", {"text", "json"}, FIELD(log_format)));
  keys.push_back(Bytes("images.max_size", "Largest image, unpacked", kMiB, FIELD(image_max_bytes)));
  keys.push_back(
      Number("images.max_files", "Most files of an image", 1, kMaxFiles, FIELD(image_max_files)));
  keys.push_back(Bytes("images.min_free_disk", "Kept free on the disk while an image is unpacked",
                       0, FIELD(image_min_free_bytes)));
  keys.push_back(
      Number("events.keep", "How many events are kept", 1000, kMaxEvents, FIELD(events_keep)));
  keys.push_back(Listen("metrics.listen",
                        "Where Prometheus may read /metrics: a port of this machine alone, or "
                        "unix:/PATH; off unless set",
                        kListenForm, ParseListenAddress, FIELD(metrics_listen)));
}

}  // namespace

std::string Quote(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

const std::vector<ConfigKey>& ConfigKeys() {
  static const std::vector<ConfigKey> keys = [] {
    std::vector<ConfigKey> all;
    AddNodeKeys(all);
    AddServerKeys(all);
    AddLimitKeys(all);
    AddPlacementKeys(all);
    AddPolicyKeys(all);
    AddNetworkKeys(all);
    AddVmKeys(all);
    AddDriverKeys(all);
    AddOtherKeys(all);
    return all;
  }();
  return keys;
}

}  // namespace claw
