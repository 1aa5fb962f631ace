// What happens when somebody else touches our tables.

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "agent/base/strings.h"
#include "drivers/network/cni_config.h"
#include "drivers/network/linux/networks.h"
#include "drivers/network/linux/nft.h"

namespace claw::network {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

constexpr milliseconds kFirstRetry{100};
constexpr milliseconds kLastRetry{10'000};

// An element without what it has counted.
json Uncounted(const json& element) {
  const auto body = element.is_object() ? element.find("elem") : element.end();
  return body != element.end() && body->contains("val") ? (*body)["val"] : element;
}

json SortedElements(const json& elements) {
  std::vector<std::string> sorted;
  for (const json& element : elements) sorted.push_back(Uncounted(element).dump());
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

// What the tables say, without handles, counts and the order in which things were made.
StatusOr<std::set<std::string>> Describe(const std::string& name) {
  std::set<std::string> lines;
  std::map<std::string, int> rules;  // how many a chain has had so far: their order counts
  for (const std::string_view family : {"inet", "bridge"}) {
    ASSIGN_OR_RETURN(json listed, ListNft(StrCat("list table ", family, " ", name)));
    for (json& object : listed) {
      if (!object.is_object() || object.empty() || object.contains("metainfo")) continue;
      const std::string kind = object.begin().key();
      json& body = object.begin().value();
      body.erase("handle");
      if (kind == "counter") {
        body.erase("packets");
        body.erase("bytes");
      }
      if (body.contains("size")) body.erase("elem");  // filled by packets
      if (body.contains("elem")) body["elem"] = SortedElements(body["elem"]);
      int number = 0;
      if (kind == "rule") number = rules[StrCat(family, body.value("chain", std::string()))]++;
      lines.insert(StrCat(kind, " ", number, " ", body.dump()));
    }
  }
  return lines;
}

// What the tables would say if they were as they should be: the kernel says so, in a network
// namespace that nothing lives in.
StatusOr<std::set<std::string>> Expect(const std::string& name, const std::string& whole) {
  StatusOr<std::set<std::string>> lines = Internal("no answer");
  std::thread elsewhere([&] {
    if (::unshare(CLONE_NEWNET) != 0) {
      lines = ErrnoError(errno, "make a network namespace to compare with");
      return;
    }
    const Status written = RunNft(whole);
    lines = written.ok() ? Describe(name) : StatusOr<std::set<std::string>>(written);
  });
  elsewhere.join();
  return lines;
}

}  // namespace

void LinuxNetworks::RulesChanged() {
  const Lock lock(mutex_);
  look_ = true;
  wake_.notify_all();
}

void LinuxNetworks::RepairLoop() {
  milliseconds retry = kFirstRetry;
  Lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return look_ || ending_; });
    if (ending_) return;
    look_ = false;
    if (Repair(lock)) {
      retry = kFirstRetry;
      continue;
    }
    wake_.wait_for(lock, retry, [this] { return ending_; });
    retry = std::min(retry * 2, kLastRetry);
    look_ = true;
  }
}

// False: it is to be tried again.
bool LinuxNetworks::Repair(Lock& lock) {
  if (!synced_) return true;  // Reconcile writes everything
  const auto found = Describe(config_.name);
  bool right = !dirty_ && found.ok();
  // Where there are none, nothing has to be compared first.
  if (right) {
    const auto expected = Expect(config_.name, ruleset_.Whole({}));
    right = expected.ok() && *found == *expected;
  }
  if (right && !unprotected_) return true;
  const std::string what = found.ok() ? "they had been changed" : "they had been removed";
  const Status written = right ? absl::OkStatus() : Rewrite();
  std::vector<std::string> ids = ruleset_.Ids();
  if (!written.ok()) {
    if (std::exchange(unprotected_, true) || !events_.on_unprotected) return false;
    lock.unlock();
    events_.on_unprotected(ToLogString(written), std::move(ids));
    lock.lock();
    return false;
  }
  unprotected_ = false;
  // Whoever flushed our rules may have flushed those of the port mappings with them.
  std::vector<Record> mapped;
  for (const std::string& id : ids) {
    if (!ruleset_.Plan(id).ports.empty()) {
      mapped.push_back({.plan = ruleset_.Plan(id), .attachment = ruleset_.Attachment(id)});
    }
  }
  lock.unlock();
  std::string how = StrCat(what, "; the rules of ", ids.size(), " sandboxes are back");
  for (const Record& record : mapped) {
    // The plugin does not look at the namespace, but wants one named.
    const Status again = RemapPorts(record.plan, record.attachment);
    if (!again.ok()) how += StrCat("; not so the ports of ", record.plan.id, ": ", again.message());
  }
  if (events_.on_repaired) events_.on_repaired(how);
  lock.lock();
  return true;
}

Status LinuxNetworks::RemapPorts(const NetworkPlan& plan, const NetworkAttachment& attachment) {
  // Away with what is left of it first: the plugin appends.
  RETURN_IF_ERROR(cni_.Run({.command = "DEL",
                            .plugin = "portmap",
                            .id = plan.id,
                            .interface = "eth0",
                            .config = PortmapConfig(config_, plan.ports, "")})
                      .status());
  return MapPorts(plan.ports, plan.id, attachment, "/proc/self/ns/net");
}

}  // namespace claw::network
