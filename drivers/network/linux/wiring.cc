#include "drivers/network/linux/wiring.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <nlohmann/json.hpp>
#include <thread>

#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "agent/base/subprocess.h"

namespace claw::network {
namespace {

// Everything that `ip -batch` is told, here or in a namespace. `force`: goes on after an error.
Status RunIp(const std::string& commands, int netns = -1, bool force = false) {
  ProcessSpec spec;
  spec.argv = {"ip"};
  if (force) spec.argv.push_back("-force");
  spec.argv.insert(spec.argv.end(), {"-batch", "-"});
  // It does not outlive the agent: the next one would not know of what it does.
  spec.before_exec = [netns, agent = ::getpid()] {
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return errno;
    if (::getppid() != agent) return ESRCH;
    return netns < 0 || ::setns(netns, CLONE_NEWNET) == 0 ? 0 : errno;
  };
  RunOptions options;
  options.input = commands;
  if (!force) return RunOrError(spec, options).status();
  return Run(spec, options).status();
}

// What `ip -json` lists, by the name of one field, with the bridge that another one tells, where
// that begins so.
StatusOr<std::vector<std::pair<std::string, std::string>>> OfBridges(
    const std::vector<std::string>& command, const char* name, const char* bridge,
    const std::string& bridges) {
  std::vector<std::pair<std::string, std::string>> found;
  ProcessSpec spec;
  spec.argv = {"ip", "-json"};
  spec.argv.insert(spec.argv.end(), command.begin(), command.end());
  ASSIGN_OR_RETURN(const std::string printed,
                   RunOrError(spec, {.max_output_bytes = size_t{64} << 20}));
  const auto listed = nlohmann::json::parse(printed, nullptr, false);
  if (!listed.is_array()) return Internal("ip ", command[0], ": its answer is no JSON list");
  for (const auto& entry : listed) {
    const std::string device = entry.value(bridge, std::string());
    if (device.starts_with(bridges)) found.emplace_back(entry.value(name, std::string()), device);
  }
  return found;
}

// /proc/sys/net shows the namespace of the thread that opens it.
Status WriteSysctls(const UniqueFd& netns,
                    const std::vector<std::pair<std::string, std::string>>& values) {
  Status status;
  std::thread inside([&] {
    if (::setns(netns.get(), CLONE_NEWNET) != 0) {
      status = ErrnoError(errno, "enter the sandbox's network namespace");
      return;
    }
    for (const auto& [name, value] : values) {
      const Status written = WriteExisting(StrCat("/proc/sys/net/", name), value);
      if (status.ok() && !absl::IsNotFound(written)) status = written;
    }
  });
  inside.join();
  return status;
}

// What is as it should be already is not written: it may be read-only, and right.
Status SetHere(const std::string& name, std::string_view value) {
  const std::string path = StrCat("/proc/sys/net/", name);
  const auto now = ReadFile(path);
  if (now.ok() && Trim(*now) == value) return absl::OkStatus();
  return WriteExisting(path, value);
}

}  // namespace

StatusOr<UniqueFd> OpenNamespace(int64_t pid) {
  const std::string path = StrCat("/proc/", pid, "/ns/net");
  UniqueFd netns(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!netns.valid()) return ErrnoError(errno, StrCat("open ", path));
  struct stat theirs {};
  struct stat ours {};
  if (::fstat(netns.get(), &theirs) != 0 || ::stat("/proc/thread-self/ns/net", &ours) != 0) {
    return ErrnoError(errno, "look at network namespaces");
  }
  if (theirs.st_ino == ours.st_ino && theirs.st_dev == ours.st_dev) {
    return FailedPrecondition("process ", pid, " lives in the agent's own network namespace");
  }
  return netns;
}

Status PrepareInside(const UniqueFd& netns) {
  return Annotate(WriteSysctls(netns, {{"ipv6/conf/default/accept_dad", "0"},
                                       {"ipv6/conf/default/accept_ra", "0"},
                                       {"ipv6/conf/default/router_solicitations", "0"},
                                       // the address that the rules know
                                       {"ipv6/conf/default/addr_gen_mode", "0"},
                                       {"ipv6/conf/default/use_tempaddr", "0"}}),
                  "prepare the sandbox's network namespace");
}

Status RouteThroughHost(const UniqueFd& netns, const Subnet& subnet,
                        const NetworkAttachment& attachment) {
  std::string commands = StrCat("addr flush dev ", kInterface, " scope global\n");
  commands += StrCat("addr add ", attachment.ipv4, "/32 dev ", kInterface, "\n");
  commands += StrCat("route replace default via ", ToString(subnet.gateway4), " dev ", kInterface,
                     " onlink\n");
  if (!attachment.ipv6.empty()) {
    commands += StrCat("addr add ", attachment.ipv6, "/128 dev ", kInterface, " nodad\n");
    commands += StrCat("route replace default via ", ToString(subnet.gateway6), " dev ", kInterface,
                       " onlink\n");
  }
  return Annotate(RunIp(commands, netns.get()), "route the sandbox through the host");
}

Status EnsureBridge(const std::string& bridge) {
  if (::if_nametoindex(bridge.c_str()) == 0) {
    const Status made = RunIp(StrCat("link add name ", bridge, " type bridge\n"));
    // Another attachment may have been faster.
    if (!made.ok() && ::if_nametoindex(bridge.c_str()) == 0) return made;
  }
  return HardenBridge(bridge);
}

Status HardenBridge(const std::string& bridge) {
  if (::if_nametoindex(bridge.c_str()) == 0) return absl::OkStatus();
  for (const auto& [name, value] : {std::pair("send_redirects", "0"), std::pair("rp_filter", "1"),
                                    std::pair("accept_redirects", "0")}) {
    RETURN_IF_ERROR(SetHere(StrCat("ipv4/conf/", bridge, "/", name), value));
  }
  for (const auto& [name, value] : {std::pair("accept_ra", "0"), std::pair("accept_redirects", "0"),
                                    std::pair("accept_dad", "0")}) {
    const Status set = SetHere(StrCat("ipv6/conf/", bridge, "/", name), value);
    if (!set.ok() && !absl::IsNotFound(set)) return set;
  }
  return absl::OkStatus();
}

Status FixPorts(const std::vector<NetworkAttachment>& attachments) {
  std::string commands;
  for (const NetworkAttachment& attachment : attachments) {
    commands +=
        StrCat("link set dev ", attachment.host_interface, " type bridge_slave isolated on\n");
    for (const std::string& address : {attachment.ipv4, attachment.ipv6}) {
      if (address.empty()) continue;
      commands += StrCat("neigh replace ", address, " lladdr ", attachment.mac,
                         " nud permanent dev ", attachment.bridge, "\n");
    }
  }
  if (commands.empty()) return absl::OkStatus();
  return Annotate(RunIp(commands), "fix the sandbox's place on the bridge");
}

Status ForgetNeighbours(const NetworkAttachment& attachment) {
  std::string commands;
  for (const std::string& address : {attachment.ipv4, attachment.ipv6}) {
    if (address.empty()) continue;
    commands += StrCat("neigh del ", address, " dev ", attachment.bridge, "\n");
  }
  if (commands.empty()) return absl::OkStatus();
  return RunIp(commands, -1, true);
}

Status RemoveInterface(const std::string& name) {
  if (name.empty() || ::if_nametoindex(name.c_str()) == 0) return absl::OkStatus();
  return RunIp(StrCat("link del ", name, "\n"), -1, true);
}

Status SetPorts(const std::vector<NetworkAttachment>& attachments, bool up) {
  std::string commands;
  for (const NetworkAttachment& attachment : attachments) {
    commands += StrCat("link set ", attachment.host_interface, up ? " up\n" : " down\n");
  }
  // One that is gone needs neither.
  return RunIp(commands, -1, true);
}

StatusOr<std::vector<std::pair<std::string, std::string>>> BridgePorts(const std::string& bridges) {
  return OfBridges({"link", "show"}, "ifname", "master", bridges);
}

StatusOr<std::vector<std::pair<std::string, std::string>>> FixedNeighbours(
    const std::string& bridges) {
  return OfBridges({"neigh", "show", "nud", "permanent"}, "dst", "dev", bridges);
}

Status EnableForwarding(bool ipv6) {
  RETURN_IF_ERROR(SetHere("ipv4/ip_forward", "1"));
  return ipv6 ? SetHere("ipv6/conf/all/forwarding", "1") : absl::OkStatus();
}

}  // namespace claw::network
