#include "drivers/network/linux/nft_look.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <net/if.h>

#include <array>
#include <charconv>
#include <vector>

#include "agent/base/ip.h"

namespace claw::network {
namespace {

constexpr int kBufferBytes = 64 << 10;
constexpr size_t kRequestBytes = 1024;

Status NotProtected(std::string_view what) {
  return MakeError(StatusCode::kFailedPrecondition, StrCat("the rules are not in force: ", what),
                   {.reason = "NOT_PROTECTED"});
}

uint8_t FamilyNumber(const std::string& family) {
  return family == "bridge" ? NFPROTO_BRIDGE : NFPROTO_INET;
}

nlmsghdr* Begin(char* buffer, int type, const std::string& family) {
  nlmsghdr* request = mnl_nlmsg_put_header(buffer);
  request->nlmsg_type = static_cast<uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | type);
  auto* head = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(nfgenmsg)));
  head->nfgen_family = FamilyNumber(family);
  head->version = NFNETLINK_V0;
  return request;
}

const nlattr* Nested(const nlattr* outer, int type) {
  if (outer == nullptr) return nullptr;
  struct Search {
    int type = 0;
    const nlattr* found = nullptr;
  } search{.type = type};
  const auto look = [](const nlattr* attribute, void* data) {
    auto* wanted = static_cast<Search*>(data);
    if (mnl_attr_get_type(attribute) != wanted->type) return MNL_CB_OK;
    wanted->found = attribute;
    return MNL_CB_STOP;
  };
  mnl_attr_parse_nested(outer, look, &search);
  return search.found;
}

int32_t Number(const nlattr* attribute) {
  if (attribute == nullptr || mnl_attr_validate(attribute, MNL_TYPE_U32) < 0) return -1;
  return static_cast<int32_t>(ntohl(mnl_attr_get_u32(attribute)));
}

// As the kernel keeps keys of several fields: each filled up to four bytes.
void AppendField(const std::string& field, std::string& key) {
  if (const auto address = ParseIpAddress(field); address.ok()) {
    key.append(reinterpret_cast<const char*>(address->bytes.data()), address->v6 ? 16 : 4);
    return;
  }
  const auto parts = Split(field, ':');
  if (parts.size() == 6) {
    for (const std::string_view part : parts) {
      uint8_t byte = 0;
      std::from_chars(part.begin(), part.end(), byte, 16);
      key.push_back(static_cast<char>(byte));
    }
    key.append(2, '\0');
    return;
  }
  std::string name = field;
  name.resize(IFNAMSIZ);
  key += name;
}

}  // namespace

StatusOr<NftLook> NftLook::Open(std::string table) {
  ASSIGN_OR_RETURN(auto reader, NetlinkReader::Open(kBufferBytes));
  return NftLook(std::move(table), std::move(reader));
}

Status NftLook::CheckHook(const Hook& hook) {
  alignas(nlmsghdr) std::array<char, kRequestBytes> buffer{};
  nlmsghdr* request = Begin(buffer.data(), NFT_MSG_GETCHAIN, hook.family);
  mnl_attr_put_strz(request, NFTA_CHAIN_TABLE, table_.c_str());
  mnl_attr_put_strz(request, NFTA_CHAIN_NAME, hook.chain.c_str());
  bool as_wanted = false;
  const Status asked = reader_->Ask(request, [&](const nlmsghdr& answer) {
    const nlattr* at = FindAttribute(answer, NFTA_CHAIN_HOOK);
    as_wanted = Number(Nested(at, NFTA_HOOK_HOOKNUM)) == hook.number &&
                Number(Nested(at, NFTA_HOOK_PRIORITY)) == hook.priority &&
                Number(FindAttribute(answer, NFTA_CHAIN_USE)) == hook.rules;
  });
  const std::string what = StrCat("the chain ", hook.chain, " of ", hook.family, " ", table_);
  if (!asked.ok() && !absl::IsNotFound(asked)) return Annotate(asked, what);
  if (!as_wanted) return NotProtected(StrCat(what, " is not there as it should be"));
  return absl::OkStatus();
}

Status NftLook::CheckElement(const Wanted& wanted) {
  std::string key;
  for (const std::string& field : wanted.key) AppendField(field, key);
  alignas(nlmsghdr) std::array<char, kRequestBytes> buffer{};
  nlmsghdr* request = Begin(buffer.data(), NFT_MSG_GETSETELEM, wanted.family);
  mnl_attr_put_strz(request, NFTA_SET_ELEM_LIST_TABLE, table_.c_str());
  mnl_attr_put_strz(request, NFTA_SET_ELEM_LIST_SET, wanted.set.c_str());
  nlattr* list = mnl_attr_nest_start(request, NFTA_SET_ELEM_LIST_ELEMENTS);
  nlattr* element = mnl_attr_nest_start(request, NFTA_LIST_ELEM);
  nlattr* data = mnl_attr_nest_start(request, NFTA_SET_ELEM_KEY);
  mnl_attr_put(request, NFTA_DATA_VALUE, key.size(), key.data());
  mnl_attr_nest_end(request, data);
  mnl_attr_nest_end(request, element);
  mnl_attr_nest_end(request, list);
  bool as_wanted = false;
  const Status asked = reader_->Ask(request, [&](const nlmsghdr& answer) {
    const nlattr* found =
        Nested(FindAttribute(answer, NFTA_SET_ELEM_LIST_ELEMENTS), NFTA_LIST_ELEM);
    if (wanted.chain.empty()) {
      as_wanted = found != nullptr;
      return;
    }
    const nlattr* verdict = Nested(Nested(found, NFTA_SET_ELEM_DATA), NFTA_DATA_VERDICT);
    const nlattr* chain = Nested(verdict, NFTA_VERDICT_CHAIN);
    as_wanted = Number(Nested(verdict, NFTA_VERDICT_CODE)) == NFT_JUMP && chain != nullptr &&
                mnl_attr_validate(chain, MNL_TYPE_NUL_STRING) >= 0 &&
                mnl_attr_get_str(chain) == wanted.chain;
  });
  const std::string what =
      StrCat(Join(wanted.key, " "), " in the set ", wanted.set, " of ", wanted.family, " ", table_);
  if (!asked.ok() && !absl::IsNotFound(asked)) return Annotate(asked, what);
  if (!as_wanted) return NotProtected(StrCat(what, " is not there as it should be"));
  return absl::OkStatus();
}

}  // namespace claw::network
