#include "drivers/network/linux/rule_watch.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <string_view>
#include <utility>

namespace claw::network {
namespace {

constexpr uint16_t Type(int type) {
  return static_cast<uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | type);
}

// Which thread made the transaction, by its number in the first pid namespace. (The kernel calls it
// a pid, but it is that of the thread.)
std::optional<pid_t> MadeBy(const nlmsghdr& generation) {
  const nlattr* pid = FindAttribute(generation, NFTA_GEN_PROC_PID);
  if (pid == nullptr || mnl_attr_validate(pid, MNL_TYPE_U32) < 0) return std::nullopt;
  return static_cast<pid_t>(ntohl(mnl_attr_get_u32(pid)));
}

// Whether the kernel knows this thread by the number that it has here: it tells of the one who asks
// as it tells of the one who commits.
StatusOr<bool> PidsAreOurs(NetlinkReader& reader) {
  alignas(nlmsghdr) std::array<char, 64> buffer{};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = Type(NFT_MSG_GETGEN);
  mnl_nlmsg_put_extra_header(request, sizeof(nfgenmsg));
  std::optional<pid_t> pid;
  RETURN_IF_ERROR(
      reader.Ask(request, [&](const nlmsghdr& generation) { pid = MadeBy(generation); }));
  return pid == static_cast<pid_t>(::syscall(SYS_gettid));
}

}  // namespace

StatusOr<std::unique_ptr<RuleWatch>> RuleWatch::Start(std::string table,
                                                      std::function<void()> on_change,
                                                      int buffer_bytes) {
  ASSIGN_OR_RETURN(std::unique_ptr<NetlinkReader> reader, NetlinkReader::Open(buffer_bytes));
  ASSIGN_OR_RETURN(const bool pids_are_ours, PidsAreOurs(*reader));
  RETURN_IF_ERROR(reader->Join(NFNLGRP_NFTABLES));
  return std::make_unique<RuleWatch>(std::move(table), std::move(on_change), pids_are_ours,
                                     std::move(reader));
}

RuleWatch::RuleWatch(std::string table, std::function<void()> on_change, bool pids_are_ours,
                     std::unique_ptr<NetlinkReader> reader)
    : table_(std::move(table)),
      on_change_(std::move(on_change)),
      pids_are_ours_(pids_are_ours),
      reader_(std::move(reader)) {
  reader_->Run({.on_message = [this](const nlmsghdr& message) { Take(message); },
                .on_lost = [this] { Lost(); }});
}

RuleWatch::~RuleWatch() = default;

// The kernel tells of transactions one after another, and each ends with its generation.
void RuleWatch::Take(const nlmsghdr& message) {
  if (message.nlmsg_type == Type(NFT_MSG_NEWGEN)) {
    if (std::exchange(touched_, false) && !IsOurs(message)) on_change_();
  } else if (Touches(message)) {
    touched_ = true;
  }
}

void RuleWatch::Lost() {
  touched_ = false;
  on_change_();
}

bool RuleWatch::Touches(const nlmsghdr& message) const {
  if (NFNL_SUBSYS_ID(message.nlmsg_type) != NFNL_SUBSYS_NFTABLES) return false;
  if (message.nlmsg_len < MNL_NLMSG_HDRLEN + sizeof(nfgenmsg)) return false;
  // A quota that is used up is told of by the kernel itself, outside of any transaction.
  if (message.nlmsg_type == Type(NFT_MSG_NEWOBJ) && message.nlmsg_pid == 0) return false;
  const auto family = static_cast<const nfgenmsg*>(mnl_nlmsg_get_payload(&message))->nfgen_family;
  if (family != NFPROTO_INET && family != NFPROTO_BRIDGE) return false;
  // Whatever it is about (a table, a chain, a rule, a set, elements, an object): the name of the
  // table has the same number.
  static_assert(NFTA_TABLE_NAME == 1 && NFTA_CHAIN_TABLE == 1 && NFTA_RULE_TABLE == 1 &&
                NFTA_SET_TABLE == 1 && NFTA_SET_ELEM_LIST_TABLE == 1 && NFTA_OBJ_TABLE == 1 &&
                NFTA_FLOWTABLE_TABLE == 1);
  const nlattr* name = FindAttribute(message, NFTA_TABLE_NAME);
  return name != nullptr && mnl_attr_validate(name, MNL_TYPE_NUL_STRING) >= 0 &&
         mnl_attr_get_str(name) == std::string_view(table_);
}

bool RuleWatch::IsOurs(const nlmsghdr& generation) const {
  const std::optional<pid_t> pid = MadeBy(generation);
  return pids_are_ours_ && pid && *pid > 0 && ::syscall(SYS_tgkill, ::getpid(), *pid, 0) == 0;
}

}  // namespace claw::network
