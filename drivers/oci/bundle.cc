#include "drivers/oci/bundle.h"

#include <nlohmann/json.hpp>

#include "agent/base/strings.h"
#include "drivers/oci/refused_calls.h"
#include "drivers/oci/seccomp.h"

namespace claw::drivers {
namespace {

using Json = nlohmann::json;

// What an unprivileged daemon needs to change its user and own its files. With no_new_privs and a
// user namespace they reach nothing outside. NET_RAW, MKNOD, SYS_CHROOT and AUDIT_WRITE, which
// other engines give too, are left out.
const char* const kCapabilities[] = {"CAP_CHOWN",  "CAP_DAC_OVERRIDE", "CAP_FOWNER",
                                     "CAP_FSETID", "CAP_KILL",         "CAP_NET_BIND_SERVICE",
                                     "CAP_SETGID", "CAP_SETPCAP",      "CAP_SETUID"};

Json Process(const LaunchSpec& spec, const BundleOptions& options) {
  std::vector<std::string> argv = options.argv_prefix;
  argv.insert(argv.end(), spec.argv.begin(), spec.argv.end());
  const Json capabilities = options.hardened ? Json::array() : Json(kCapabilities);
  Json process = {
      {"terminal", spec.tty},
      {"user", {{"uid", spec.uid}, {"gid", spec.gid}, {"additionalGids", spec.additional_gids}}},
      {"args", argv},
      {"env", spec.env},
      {"cwd", spec.working_directory},
      {"noNewPrivileges", true},
      // Never more than the agent's own hard limit, which it may not be able to raise.
      {"rlimits", {{{"type", "RLIMIT_CORE"}, {"hard", 0}, {"soft", 0}}}}};
  process["capabilities"] = {{"bounding", capabilities},
                             {"effective", spec.uid == 0 ? capabilities : Json::array()},
                             {"permitted", spec.uid == 0 ? capabilities : Json::array()}};
  return process;
}

Json Mount(std::string_view destination, std::string_view type, std::string_view source,
           std::vector<std::string> options) {
  return {{"destination", destination}, {"type", type}, {"source", source}, {"options", options}};
}

Json Mounts(const LaunchSpec& spec, const MountPoints& points, const BundleOptions& options) {
  Json mounts = Json::array();
  mounts.push_back(Mount("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}));
  // tmpfs counts against the sandbox's memory limit, so its sizes are bounded by that.
  mounts.push_back(
      Mount("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=64k"}));
  mounts.push_back(Mount("/dev/pts", "devpts", "devpts",
                         {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}));
  mounts.push_back(Mount("/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777"}));
  mounts.push_back(Mount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}));
  mounts.push_back(Mount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}));
  for (size_t i = 0; i < spec.mounts.size(); ++i) {
    const claw::Mount& mount = spec.mounts[i];
    const std::string source = options.mounts_are_staged ? points.bind(i).string() : mount.source;
    mounts.push_back(Mount(mount.destination, "bind", source,
                           {"bind", "nosuid", "nodev", mount.read_only ? "ro" : "rw"}));
  }
  for (size_t i = 0; i < spec.node_files.size(); ++i) {
    const claw::Mount& file = spec.node_files[i];
    const std::string source =
        options.mounts_are_staged ? points.bind(spec.mounts.size() + i).string() : file.source;
    mounts.push_back(
        Mount(file.destination, "bind", source, {"bind", "nosuid", "nodev", "noexec", "ro"}));
  }
  return mounts;
}

Json MaskedPaths(bool hardened) {
  Json paths = {"/proc/acpi",        "/proc/asound",        "/proc/kcore",
                "/proc/keys",        "/proc/latency_stats", "/proc/timer_list",
                "/proc/timer_stats", "/proc/sched_debug",   "/proc/scsi",
                "/sys/firmware",     "/sys/fs/selinux",     "/sys/devices/virtual/powercap"};
  if (!hardened) return paths;
  // What tells of the host's kernel, its devices and its neighbours, and that no program needs to
  // work: an attacker's map. /sys/devices stays, since C libraries count the CPUs there.
  for (const char* path : {"/proc/bus",
                           "/proc/cmdline",
                           "/proc/config.gz",
                           "/proc/interrupts",
                           "/proc/iomem",
                           "/proc/ioports",
                           "/proc/kallsyms",
                           "/proc/key-users",
                           "/proc/kmsg",
                           "/proc/modules",
                           "/proc/pagetypeinfo",
                           "/proc/slabinfo",
                           "/proc/sysrq-trigger",
                           "/proc/vmallocinfo",
                           "/proc/zoneinfo",
                           "/sys/block",
                           "/sys/bus",
                           "/sys/class",
                           "/sys/dev",
                           "/sys/fs",
                           "/sys/hypervisor",
                           "/sys/kernel",
                           "/sys/module",
                           "/sys/power"}) {
    paths.push_back(path);
  }
  return paths;
}

Json Linux(const LaunchSpec& spec, const BundleOptions& options) {
  Json namespaces = Json::array();
  for (const char* type : {"pid", "ipc", "uts", "mount", "network"}) {
    namespaces.push_back({{"type", type}});
  }
  if (options.cgroup_namespace) namespaces.push_back({{"type", "cgroup"}});
  Json resources = {{"devices", {{{"allow", false}, {"access", "rwm"}}}}};
  if (options.memory_limit_bytes > 0) {
    resources["memory"] = {{"limit", options.memory_limit_bytes}};
  }
  Json linux_part = {{"cgroupsPath", options.cgroup_path},
                     {"resources", resources},
                     {"maskedPaths", MaskedPaths(options.hardened)},
                     {"readonlyPaths",
                      {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}}};
  if (options.id_base) {
    namespaces.push_back({{"type", "user"}});
    const Json mapping = {{{"containerID", 0}, {"hostID", *options.id_base}, {"size", kIdRange}}};
    linux_part["uidMappings"] = mapping;
    linux_part["gidMappings"] = mapping;
  }
  linux_part["namespaces"] = namespaces;
  if (options.seccomp) {
    linux_part["seccomp"] = WithRefusedCalls(
        SeccompProfile(options.architecture,
                       options.hardened ? SeccompLevel::kHardened : SeccompLevel::kContainer),
        spec.refused_calls);
  }
  return linux_part;
}

}  // namespace

std::string BundleConfig(const LaunchSpec& spec, const MountPoints& points,
                         const BundleOptions& options) {
  const Json config = {
      {"ociVersion", "1.0.2"},
      {"process", Process(spec, options)},
      {"root", {{"path", points.rootfs().string()}, {"readonly", spec.read_only_root}}},
      {"hostname", spec.hostname},
      {"mounts", Mounts(spec, points, options)},
      {"linux", Linux(spec, options)}};
  return config.dump(-1, ' ', false, Json::error_handler_t::replace);
}

StatusOr<std::string> ExecProcess(const std::string& config, const ExecSpec& spec) {
  const Json json = Json::parse(config, nullptr, false);
  if (!json.is_object() || !json.contains("process") || !json["process"].is_object()) {
    return DataLoss("the sandbox's config.json has no process");
  }
  Json process = json["process"];
  process["terminal"] = spec.tty;
  process["args"] = spec.argv;
  if (!spec.working_directory.empty()) process["cwd"] = spec.working_directory;
  for (const std::string& entry : spec.env) process["env"].push_back(entry);
  return process.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace claw::drivers
