#include "drivers/oci/seccomp.h"

#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>

#include <string_view>
#include <utility>
#include <vector>

namespace claw::drivers {
namespace {

using Json = nlohmann::json;

constexpr int kEnosys = 38;
// CLONE_NEWNS | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET | NEWCGROUP.
constexpr uint64_t kNamespaceFlags = 0x7E020000;
constexpr int kAfVsock = 40;

Json Rule(const std::vector<std::string>& names, std::string_view action) {
  return {{"names", names}, {"action", action}};
}

Json Argument(unsigned index, uint64_t value, std::string_view op, uint64_t value_two = 0) {
  return {{"index", index}, {"value", value}, {"valueTwo", value_two}, {"op", op}};
}

// Only the machine's own. libseccomp has the kernel kill a program that comes in by another door:
// 32-bit code, and x32 on x86-64. That is a door less to defend, and two thirds of the time that
// runc takes to compile the filter at each start.
std::vector<std::string> Architectures(const std::string& architecture) {
  if (architecture == "amd64") return {"SCMP_ARCH_X86_64"};
  if (architecture == "arm64") return {"SCMP_ARCH_AARCH64"};
  return {};
}

Json Sockets() {
  // AF_VSOCK would reach the hypervisor of the host, whatever the network namespace. The kernel
  // looks at 32 bits of the family and the filter at 64, so families are named by what they are and
  // not by what they are not; those above AF_VSOCK nobody misses.
  Json socket = Rule({"socket"}, "SCMP_ACT_ALLOW");
  socket["args"] = {Argument(0, kAfVsock, "SCMP_CMP_LT")};
  return Json::array({socket});
}

// Local sockets, TCP, UDP, and the list of one's own interfaces. Not AF_PACKET, AF_ALG, AF_VSOCK,
// AF_CAN, AF_XDP, … nor the protocols of IP that the kernel would load a module for (SCTP, DCCP,
// L2TP, MPTCP), nor netlink but for NETLINK_ROUTE: nf_tables and its like are not to be talked to.
Json HardenedSockets() {
  constexpr uint64_t kTypeMask = 0xF;  // without SOCK_NONBLOCK and SOCK_CLOEXEC
  Json rules = Json::array();
  const auto allow = [&rules](std::vector<Json> arguments) {
    Json socket = Rule({"socket"}, "SCMP_ACT_ALLOW");
    socket["args"] = std::move(arguments);
    rules.push_back(std::move(socket));
  };
  allow({Argument(0, AF_UNIX, "SCMP_CMP_EQ")});
  allow({Argument(0, AF_NETLINK, "SCMP_CMP_EQ"), Argument(2, 0, "SCMP_CMP_EQ")});
  constexpr std::pair<int, int> kKinds[] = {{SOCK_STREAM, IPPROTO_TCP}, {SOCK_DGRAM, IPPROTO_UDP}};
  for (const int family : {AF_INET, AF_INET6}) {
    for (const auto& [type, protocol] : kKinds) {
      for (const int named : {0, protocol}) {
        allow({Argument(0, static_cast<uint64_t>(family), "SCMP_CMP_EQ"),
               Argument(1, kTypeMask, "SCMP_CMP_MASKED_EQ", static_cast<uint64_t>(type)),
               Argument(2, static_cast<uint64_t>(named), "SCMP_CMP_EQ")});
      }
    }
  }
  return rules;
}

std::vector<uint64_t> Personalities(SeccompLevel level) {
  // The default, and "what is it".
  if (level == SeccompLevel::kHardened) return {0x0ULL, 0xFFFFFFFFULL};
  // And what programs ask for: 32-bit, the version of an older kernel.
  return {0x0ULL, 0x8ULL, 0x20000ULL, 0x20008ULL, 0xFFFFFFFFULL};
}

}  // namespace

Json SeccompProfile(const std::string& architecture, SeccompLevel level) {
  Json rules = Json::array({Rule(AllowedCalls(level), "SCMP_ACT_ALLOW")});
  Json clone = Rule({"clone"}, "SCMP_ACT_ALLOW");
  clone["args"] = {Argument(0, kNamespaceFlags, "SCMP_CMP_MASKED_EQ")};
  rules.push_back(clone);
  Json clone3 = Rule({"clone3"}, "SCMP_ACT_ERRNO");
  clone3["errnoRet"] = kEnosys;
  rules.push_back(clone3);
  for (const Json& rule : level == SeccompLevel::kHardened ? HardenedSockets() : Sockets()) {
    rules.push_back(rule);
  }
  for (const uint64_t persona : Personalities(level)) {
    Json rule = Rule({"personality"}, "SCMP_ACT_ALLOW");
    rule["args"] = {Argument(0, persona, "SCMP_CMP_EQ")};
    rules.push_back(rule);
  }
  return {{"defaultAction", "SCMP_ACT_ERRNO"},
          {"defaultErrnoRet", 1},
          {"architectures", Architectures(architecture)},
          {"syscalls", rules}};
}

}  // namespace claw::drivers
