#include <nlohmann/json.hpp>

#include "agent/base/strings.h"
#include "drivers/network/linux/networks.h"
#include "drivers/network/linux/nft.h"

namespace claw::network {
namespace {

using nlohmann::json;

PacketCount ReadCount(const json& counter) {
  return {.packets = counter.value("packets", int64_t{0}),
          .bytes = counter.value("bytes", int64_t{0})};
}

// The key as a list of its fields, whatever their number.
std::vector<std::string> Key(const json& value) {
  if (value.is_string()) return {value.get<std::string>()};
  std::vector<std::string> fields;
  const auto concat = value.is_object() ? value.find("concat") : value.end();
  if (concat == value.end() || !concat->is_array()) return {};
  for (const json& field : *concat) {
    if (field.is_string()) fields.push_back(field.get<std::string>());
  }
  return fields;
}

// Calls take(key, count) for every element of a set that has counters.
template <typename Take>
Status EachCounter(const std::string& set, const Take& take) {
  ASSIGN_OR_RETURN(const json listed, ListNft(StrCat("list set ", set)));
  for (const json& object : listed) {
    const auto found = object.find("set");
    if (found == object.end()) continue;
    const auto elements = found->find("elem");
    if (elements == found->end() || !elements->is_array()) continue;
    for (const json& element : *elements) {
      const auto body = element.is_object() ? element.find("elem") : element.end();
      if (body == element.end() || !body->contains("counter") || !body->contains("val")) continue;
      take(Key((*body)["val"]), ReadCount((*body)["counter"]));
    }
  }
  return absl::OkStatus();
}

void Add(PacketCount& to, const PacketCount& count) {
  to.packets += count.packets;
  to.bytes += count.bytes;
}

}  // namespace

StatusOr<std::map<std::string, NetworkCounters>> LinuxNetworks::Count() {
  const Lock lock(mutex_);
  ASSIGN_OR_RETURN(last_counters_, ReadCounters());
  return last_counters_;
}

StatusOr<Counters> LinuxNetworks::ReadCounters() const {
  Counters counters;
  std::map<std::string, std::string> interfaces;
  for (const std::string& id : ruleset_.Ids()) {
    counters[id] = {};
    interfaces[ruleset_.Attachment(id).host_interface] = id;
  }
  const auto read = [&](const std::string& set, PacketCount NetworkCounters::*part) {
    return EachCounter(set, [&](const std::vector<std::string>& key, const PacketCount& count) {
      // The address is the last field of those that have one.
      const std::string id = key.empty() ? "" : ruleset_.Owner(key.back());
      if (!id.empty()) Add(counters[id].*part, count);
    });
  };
  for (const Family& family : Families(config_)) {
    const std::string inet = StrCat("inet ", config_.name, " ");
    const std::string suffix(family.suffix);
    RETURN_IF_ERROR(
        read(StrCat("bridge ", config_.name, " speakers", suffix), &NetworkCounters::sent));
    RETURN_IF_ERROR(read(inet + "received" + suffix, &NetworkCounters::received));
    RETURN_IF_ERROR(read(inet + "dfrom" + suffix, &NetworkCounters::egress_denied));
    RETURN_IF_ERROR(read(inet + "dto" + suffix, &NetworkCounters::ingress_denied));
    RETURN_IF_ERROR(read(inet + "lfrom" + suffix, &NetworkCounters::egress_limited));
    RETURN_IF_ERROR(read(inet + "lto" + suffix, &NetworkCounters::ingress_limited));
  }
  for (const std::string& set :
       {StrCat("bridge ", config_.name, " spoofed"), StrCat("inet ", config_.name, " astray")}) {
    RETURN_IF_ERROR(
        EachCounter(set, [&](const std::vector<std::string>& key, const PacketCount& count) {
          const auto owner = key.empty() ? interfaces.end() : interfaces.find(key.back());
          if (owner != interfaces.end()) Add(counters[owner->second].spoofed, count);
        }));
  }
  return counters;
}

}  // namespace claw::network
