// How what Ruleset says gets into the kernel. All with the lock held.

#include <algorithm>

#include "agent/base/strings.h"
#include "drivers/network/hosts_file.h"
#include "drivers/network/linux/networks.h"
#include "drivers/network/linux/nft.h"
#include "drivers/network/linux/nft_look.h"

namespace claw::network {

Status LinuxNetworks::EnsureTables() {
  if (synced_) return absl::OkStatus();
  ASSIGN_OR_RETURN(const auto listed, ListNft("list tables"));
  for (const auto& object : listed) {
    const auto table = object.find("table");
    if (table == object.end() || table->value("name", std::string()) != config_.name) continue;
    return FailedPrecondition(
        "the rules are those of an agent before this one; they have to be reconciled first");
  }
  RETURN_IF_ERROR(Rewrite());
  synced_ = true;
  return absl::OkStatus();
}

// One transaction. When it fails somebody may have changed our tables: all of them anew then.
Status LinuxNetworks::Apply(const std::string& change) {
  ++changes_;
  if (!dirty_) {
    if (change.empty() || RunNft(change).ok()) return absl::OkStatus();
  }
  dirty_ = true;
  return Rewrite();
}

Status LinuxNetworks::Rewrite() {
  // Counters that can be read go on; those of tables that are gone go on from the last time.
  if (auto counters = ReadCounters(); counters.ok()) {
    for (auto& [id, count] : *counters) last_counters_[id] = count;
  }
  ++changes_;
  Status written = RunNft(ruleset_.Whole(last_counters_));
  if (written.ok()) written = RunNft(ruleset_.Verdicts());
  dirty_ = !written.ok();
  if (dirty_) {
    // It is tried again, whoever asked.
    look_ = true;
    wake_.notify_all();
  }
  return Annotate(written, "write the rules of all sandboxes");
}

Status LinuxNetworks::Verify(const std::string& id) {
  ASSIGN_OR_RETURN(NftLook look, NftLook::Open(config_.name));
  for (const Hook& hook : ruleset_.hooks()) RETURN_IF_ERROR(look.CheckHook(hook));
  for (const Wanted& wanted : ruleset_.WantedOf(id)) RETURN_IF_ERROR(look.CheckElement(wanted));
  return absl::OkStatus();
}

bool LinuxNetworks::HooksAreThere() const {
  auto look = NftLook::Open(config_.name);
  return look.ok() && std::all_of(ruleset_.hooks().begin(), ruleset_.hooks().end(),
                                  [&](const Hook& hook) { return look->CheckHook(hook).ok(); });
}

Status LinuxNetworks::Replace(const std::vector<NetworkPlan>& plans) {
  {
    const Lock lock(mutex_);
    for (const NetworkPlan& plan : plans) {
      if (!ruleset_.Has(plan.id)) return NotFound("sandbox ", plan.id, " is not connected");
    }
    std::string change = ruleset_.Replace(plans);
    for (const NetworkPlan& plan : plans) records_[plan.id].plan = plan;
    if (synced_) RETURN_IF_ERROR(Apply(change));
    for (const NetworkPlan& plan : plans) {
      if (synced_) RETURN_IF_ERROR(Verify(plan.id));
      WriteFiles(records_[plan.id]);
    }
  }
  WantNames();
  return absl::OkStatus();
}

// A file that cannot be written makes names stale, and opens nothing.
void LinuxNetworks::WriteFiles(const Record& record) const {
  const NetworkFiles files = files_.Files(record.plan.id);
  const auto addresses = [this](const std::string& name) { return ruleset_.Addresses(name); };
  AttachmentFiles::WriteInPlace(files.hosts, HostsText(record.plan, record.attachment, addresses))
      .IgnoreError();
  AttachmentFiles::WriteInPlace(files.resolv_conf, ResolvConfText(config_, record.plan))
      .IgnoreError();
}

}  // namespace claw::network
