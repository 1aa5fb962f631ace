// What happens when somebody else touches our tables.

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <set>

#include "agent/base/strings.h"
#include "drivers/network/cni_config.h"
#include "drivers/network/linux/networks.h"
#include "drivers/network/linux/nft.h"
#include "drivers/network/linux/wiring.h"

namespace claw::network {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

constexpr milliseconds kFirstRetry{100};
constexpr milliseconds kLastRetry{10'000};
constexpr int kLooks = 3;

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

// Whether the tables say what they should. What takes long is done without the lock, so others may
// change them meanwhile: then there is no answer.
std::optional<bool> LinuxNetworks::AreRight(Lock& lock) {
  // Cheap, and enough to see that all of it is gone.
  if (dirty_ || !HooksAreThere()) return false;
  const uint64_t changes = changes_;
  const std::string whole = ruleset_.Whole({}) + ruleset_.Verdicts();
  lock.unlock();
  const auto found = Describe(config_.name);
  const auto expected = Expect(config_.name, whole);
  lock.lock();
  if (changes != changes_) return std::nullopt;
  return expected.ok() && found.ok() && *found == *expected;
}

// False: it is to be tried again.
bool LinuxNetworks::Repair(Lock& lock) {
  if (!synced_) return true;  // Reconcile writes everything
  std::optional<bool> looked;
  for (int tries = 0; tries < kLooks && !looked && !ending_; ++tries) looked = AreRight(lock);
  if (ending_) return true;
  // Who cannot find out writes them.
  const bool right = looked.value_or(false);
  if (right && !unprotected_) return true;
  const Status written = right ? absl::OkStatus() : Rewrite();
  std::vector<std::string> ids = ruleset_.Ids();
  std::vector<NetworkAttachment> attachments;
  for (const std::string& id : ids) attachments.push_back(ruleset_.Attachment(id));
  if (!written.ok()) {
    // Without rules nothing passes: the host's ends of all interfaces go down. Again with each try,
    // for those that have come since.
    SetPorts(attachments, false).IgnoreError();
    if (std::exchange(unprotected_, true) || !events_.on_unprotected) return false;
    lock.unlock();
    events_.on_unprotected(ToLogString(written), std::move(ids));
    lock.lock();
    return false;
  }
  if (std::exchange(unprotected_, false)) SetPorts(attachments, true).IgnoreError();
  // Whoever flushed our rules may have flushed those of the port mappings with them.
  std::vector<Record> mapped;
  for (const std::string& id : ids) {
    if (!ruleset_.Plan(id).ports.empty()) {
      mapped.push_back({.plan = ruleset_.Plan(id), .attachment = ruleset_.Attachment(id)});
    }
  }
  lock.unlock();
  std::string how = StrCat("the rules of ", ids.size(),
                           " sandboxes had been changed or removed by somebody else, and are back");
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
