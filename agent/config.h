#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "agent/base/bytes.h"
#include "agent/base/status.h"
#include "agent/base/system_defaults.h"
#include "agent/budget/ledger.h"
#include "agent/model/isolation.h"
#include "agent/model/node_role.h"

namespace claw {

// What an operator may set. As made, it holds the defaults; without a config file they are all
// there is.
struct Config {
  struct Driver {
    bool enabled = true;
    std::string path{};      // of the runtime: a program's name, or absolute
    std::string platform{};  // gVisor's; empty: the first that works
  };

  // [node]
  std::string node_id{};                  // empty: the host's name
  std::optional<int64_t> memory_bytes{};  // absent: all that the machine has
  std::filesystem::path state_dir = kSystemDefaults.state_dir;
  std::filesystem::path run_dir = kSystemDefaults.run_dir;
  NodeClass node_class = NodeClass::kStandard;
  NodeRole role = NodeRole::kHost;
  // As ParsePairs reads them; empty: none.
  std::string labels{};
  std::string taints{};
  // [placement]
  int64_t weight_fit = 4;
  int64_t weight_image = 2;
  int64_t weight_spread = 3;
  int64_t weight_native = 8;
  int64_t weight_warm = 2;
  bool allow_emulated = false;
  int64_t cpu_overcommit_percent = 0;
  int64_t min_free_disk_bytes = 256 * kMiB;
  // [policy]; every value but the default is stricter than the default
  IsolationClass trusted_class = IsolationClass::kContainer;  // or kGvisor
  bool accept_degraded = true;
  bool allow_overrides = true;
  bool require_signer = false;
  bool compat_baseline = true;
  int64_t max_override_hours = 720;
  // [reserves]; absent: see ResolveReserves
  std::optional<int64_t> system_reserve_bytes{};
  std::optional<int64_t> agent_reserve_bytes{};
  std::optional<int64_t> eviction_reserve_bytes{};
  // [budget]
  int64_t overhead_quantile_percent = 95;
  int64_t overhead_half_life_hours = 48;
  int64_t measure_seconds = 5;
  int64_t window_seconds = 60;
  int64_t out_of_memory_one_in = 1000;
  // [pressure]: shares of time, in percent, in which programs wait for memory
  int64_t pressure_shrink_percent = 5;
  int64_t pressure_refuse_percent = 10;
  int64_t pressure_evict_percent = 40;
  int64_t pressure_calm_seconds = 10;
  int64_t eviction_grace_seconds = 10;
  // [limits]; 0: none
  int64_t max_sandboxes = 0;
  int64_t max_runc = 0;
  int64_t max_gvisor = 0;
  int64_t runc_starts_per_cpu = 4;
  int64_t gvisor_starts_per_cpu = 2;
  int64_t start_queue = 256;
  // [network]; lists as they stand in the file, see MakeNetworkConfig
  struct Network {
    bool enabled = true;
    std::string name = "clawlet";
    std::string cni_path = "/usr/lib/cni:/opt/cni/bin";
    std::string ipv4 = "10.222.0.0/19";
    std::string ipv6 = "fd22:c1aa:7e70::/64";  // unique local, RFC 4193
    std::string dns_servers{};                 // empty: those of /etc/resolv.conf
    std::string dns_search{};
    bool masquerade = true;
    std::string denied{};
    std::string exceptions{};
  };
  Network network{};
  // [vm]
  struct VirtualMachines {
    bool enabled = kSystemDefaults.vms;
    std::string uri{};                 // libvirt's; empty: one of the agent's own
    std::string type{};                // "hvf", "kvm", "qemu"; empty: the first that works here
    std::filesystem::path emulator{};  // empty: as libvirt finds it
    std::filesystem::path image = kSystemDefaults.guest_image;
    int64_t most = 0;
    int64_t cpus = 2;
    int64_t memory_bytes = kGiB;
    int64_t disk_bytes = 8 * kGiB;
    int64_t overhead_bytes = 256 * kMiB;
    int64_t memory_floor_bytes = 384 * kMiB;
    int64_t pool = 1;
    int64_t idle_seconds = 600;
    int64_t start_seconds = 120;
    int64_t stop_seconds = 30;
  };
  VirtualMachines vm{};
  // [server]
  std::filesystem::path socket{};  // empty: clawlet.sock in run_dir
  struct Tls {
    std::string listen{};  // as ParseTcpAddress reads it; empty: nobody is served over a network
    std::filesystem::path certificate{};
    std::filesystem::path key{};
    std::filesystem::path client_ca{};
  };
  Tls tls{};
  // [drivers], [drivers.runc], [drivers.gvisor]
  std::string conmon = "conmon";
  std::filesystem::path starter{};        // empty: beside the agent, or in ../libexec/clawlet
  int64_t sandbox_log_bytes = 64 * kMiB;  // of each sandbox, before it starts anew
  Driver runc{.enabled = true, .path = "runc", .platform = {}};
  Driver gvisor{.enabled = true, .path = "runsc", .platform = {}};
  // [log]
  std::string log_level = "info";
  std::string log_format = "text";
  // [images]
  int64_t image_max_bytes = 32 * kGiB;  // unpacked
  int64_t image_max_files = 2'000'000;
  int64_t image_min_free_bytes = 256 * kMiB;
  // [events]
  int64_t events_keep = 100'000;
  // [metrics]
  std::string metrics_listen{};  // as ParseListenAddress reads it; empty: they are not served
  // [signers.NAME]: whose signatures under images can be asked for
  struct Signer {
    std::filesystem::path key{};  // of OpenPGP public keys
    std::string signatures{};     // where those of images in registries are; empty: nowhere
  };
  std::map<std::string, Signer> signers{};

  std::filesystem::path SocketPath() const {
    return socket.empty() ? run_dir / "clawlet.sock" : socket;
  }
};

// Reads TOML. INVALID_ARGUMENT with every mistake on a line of its own, "FILE:LINE: what": keys
// that nobody knows (and the one that may have been meant), wrong types, values out of range.
StatusOr<Config> ParseConfig(std::string_view text, std::string_view file_name);
StatusOr<Config> LoadConfig(const std::filesystem::path& file);

// The same as TOML, with every key.
std::string FormatConfig(const Config& config);

// What is kept back from tenants on a machine of this capacity: budget::ResolveReserves of what is
// set. INVALID_ARGUMENT if that leaves nothing to tenants.
StatusOr<budget::Reserves> ResolveReserves(const Config& config, int64_t capacity_bytes);

// "clawlet-" and 8 hexadecimal digits: what this instance calls its cgroups, so that several can
// live on one machine, each with its own state folder.
std::string InstanceName(const std::filesystem::path& state_dir);

}  // namespace claw
