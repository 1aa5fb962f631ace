#include <algorithm>
#include <numeric>
#include <set>

#include "agent/base/strings.h"
#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/node.h"
#include "agent/lifecycle/plan.h"
#include "agent/lifecycle/vms.h"

namespace claw::lifecycle {

Task<Status> Node::Recover(store::Snapshot snapshot, std::vector<store::Quarantined> quarantined) {
  std::vector<Vm> vms = std::move(snapshot.vms);
  LoadSnapshot(std::move(snapshot));
  for (const store::Quarantined& item : quarantined) {
    co_await Report("store.quarantined", "node",
                    StrCat(item.what, " was set aside: ", item.why, "; now at ", item.where));
  }
  const auto is_state = [](const store::Quarantined& item) {
    return item.what.starts_with("node_state/");
  };
  const bool state_was_lost = std::any_of(quarantined.begin(), quarantined.end(), is_state);
  if (state_was_lost) co_await CordonAfterDamage();
  co_await DropExpiredOverrides();
  const bool store_was_lost = !quarantined.empty();
  std::vector<size_t> all(drivers_.size());
  std::iota(all.begin(), all.end(), size_t{0});
  co_await ProbeDrivers(std::move(all));
  co_await RefreshFacts();
  co_await LimitMemory();
  if (config_.node_class == NodeClass::kHardened) {
    asio::co_spawn(deps_.strand, WatchHardening(), asio::detached);
  }
  co_await RecoverImages(store_was_lost);

  std::vector<std::shared_ptr<Entry>> recorded;
  for (const auto& [id, entry] : sandboxes_) recorded.push_back(entry);
  std::set<std::string> known;
  for (const std::shared_ptr<Entry>& entry : recorded) {
    known.insert(entry->record.id);
    CO_RETURN_IF_ERROR(co_await RecoverSandbox(entry));
  }
  for (const DriverState& state : drivers_) {
    drivers::Driver* driver = state.driver;
    auto work = [driver] { return driver->List(); };
    CO_ASSIGN_OR_RETURN(const std::vector<std::string> ids,
                        co_await deps_.pool.Run(std::move(work)));
    for (const std::string& id : ids) {
      if (known.count(id) > 0) continue;
      const Status status = co_await RecoverStray(driver, id, store_was_lost);
      if (!status.ok())
        co_await Report("sandbox.orphan", StrCat("sandboxes/", id), ToLogString(status));
    }
  }
  co_await RecoverNetworks();
  co_await vms_->Recover(std::move(vms));
  // A restart may have come between a change of trust and the end of what rested on it.
  const Status revoked = co_await AwaitRevoked(RevokeForbidden("agent"));
  if (!revoked.ok()) co_await Report("sandbox.not_revoked", "node", ToLogString(revoked));
  co_return absl::OkStatus();
}

void Node::LoadSnapshot(store::Snapshot snapshot) {
  revision_ = snapshot.last_revision;
  durable_revision_ = revision_;
  for (Tenant& tenant : snapshot.tenants) tenants_[tenant.name] = std::move(tenant);
  for (Image& image : snapshot.images) images_[image.digest] = std::move(image);
  for (CompatVerdict& verdict : snapshot.verdicts) PutVerdict(std::move(verdict));
  for (CompatOverride& value : snapshot.overrides) {
    const std::string digest = value.image_digest;
    overrides_[digest] = std::move(value);
  }
  for (NamedNetworkPolicy& named : snapshot.network_policies) {
    const std::string name = named.name;
    network_policies_[name] = std::move(named);
  }
  for (const TenantUsage& usage : snapshot.usages) usage_[usage.tenant] = usage.charged;
  overheads_.Load(std::move(snapshot.overheads));
  if (snapshot.node_state) state_ = *snapshot.node_state;
  durable_generation_ = state_.controller_generation;
  for (store::RequestRecord& request : snapshot.requests) RememberRequest(request);
  for (Sandbox& sandbox : snapshot.sandboxes) {
    Adopt(std::make_shared<Entry>(std::move(sandbox), deps_.strand));
  }
}

Task<void> Node::Report(std::string type, std::string subject, std::string message) {
  std::vector<Event> events;
  events.push_back(MakeEvent(std::move(type), std::move(subject), "", std::move(message)));
  // A full disk must not keep the node from starting.
  (co_await Commit(nullptr, std::move(events))).IgnoreError();
}

Task<void> Node::RecoverImages(bool store_was_lost) {
  image::ImageStore& images = deps_.images;
  auto work = [&images] { return images.ScanDisk(); };
  const auto scan = co_await deps_.pool.Run(std::move(work));
  if (!scan.ok()) {
    co_await Report("image.scan_failed", "node", ToLogString(scan.status()));
    co_return;
  }
  for (const std::string& broken : scan->quarantined) {
    co_await Report("image.quarantined", StrCat("images/", broken), "its files are not whole");
  }
  std::set<std::string> on_disk;
  for (const Image& image : scan->images) on_disk.insert(image.digest);
  for (const Image& image : scan->images) {
    if (images_.count(image.digest) > 0) continue;
    if (store_was_lost) {
      images_[image.digest] = image;
      auto write = [image](store::Transaction& txn) { return txn.PutImage(image); };
      (co_await Commit(std::move(write))).IgnoreError();
      co_await Report("image.rebuilt", StrCat("images/", image.digest), "found on disk");
    } else {
      // Pulled by an agent that died before it could record it.
      auto remove = [&images, digest = image.digest] { return images.Remove(digest); };
      (co_await deps_.pool.Run(std::move(remove))).IgnoreError();
    }
  }
  std::vector<std::string> missing;
  for (const auto& [digest, image] : images_) {
    if (on_disk.count(digest) == 0) missing.push_back(digest);
  }
  for (const std::string& digest : missing) {
    images_.erase(digest);
    auto forget = [digest](store::Transaction& txn) { return txn.DeleteImage(digest); };
    (co_await Commit(std::move(forget))).IgnoreError();
    co_await Report("image.lost", StrCat("images/", digest), "its files are gone; pull it again");
  }
}

Task<Status> Node::RecoverSandbox(std::shared_ptr<Entry> entry) {
  const Sandbox record = entry->record;
  if (record.lease) {
    // It is held on; what it was admitted under is asked again when it is committed.
    BeginLease(entry);
    co_return absl::OkStatus();
  }
  drivers::Driver* driver = DriverFor(record);
  if (driver == nullptr) {
    co_await Report("sandbox.unmanaged", StrCat("sandboxes/", record.id),
                    StrCat("this node no longer has the driver ", record.driver));
    co_return absl::OkStatus();
  }
  if (IsTerminal(record.state)) {
    if (!record.released || record.spec.auto_remove) {
      asio::co_spawn(deps_.strand, Release(entry), asio::detached);
    }
    co_return absl::OkStatus();
  }
  if (record.state == SandboxState::kReserved || record.state == SandboxState::kStarting) {
    // It was never acknowledged as running, so it is taken back whole.
    const Status why = MakeError(StatusCode::kAborted, "the agent was restarted during the start",
                                 {.reason = "AGENT_RESTARTED"});
    (co_await AbandonStart(entry, why)).IgnoreError();
    co_return absl::OkStatus();
  }
  if (!VmOf(record).empty()) {
    // Nobody knows yet what has become of its VM. Whoever waits is told of the end of either.
    entry->stop_requested = record.state == SandboxState::kStopping;
    WatchExit(entry);
    co_return absl::OkStatus();
  }
  auto work = [driver, handle = record.handle] { return driver->Inspect(handle); };
  const auto inspection = co_await deps_.pool.Run(std::move(work));
  if (inspection.ok() && inspection->presence == drivers::Presence::kRunning) {
    entry->stop_requested = record.state == SandboxState::kStopping;
    (co_await Save(entry, record, "sandbox.adopted",
                   StrCat("found again as process ", record.process.pid)))
        .IgnoreError();
    WatchExit(entry);
    co_return absl::OkStatus();
  }
  drivers::ExitObservation seen{.exited_at = deps_.clock.Now()};
  if (inspection.ok() && inspection->exit) seen = *inspection->exit;
  entry->stop_requested = record.state == SandboxState::kStopping;
  co_await OnExit(entry, seen);
  co_return absl::OkStatus();
}

Task<Status> Node::RecoverStray(drivers::Driver* driver, std::string id, bool store_was_lost) {
  if (store_was_lost) {
    auto work = [driver, id] { return driver->Recover(id); };
    const auto found = co_await deps_.pool.Run(std::move(work));
    if (found.ok()) {
      const Status rebuilt = co_await Rebuild(driver, *found);
      if (rebuilt.ok()) co_return rebuilt;
      co_await Report("sandbox.not_rebuilt", StrCat("sandboxes/", id), ToLogString(rebuilt));
    }
  }
  Sandbox stray;
  stray.id = id;
  CO_RETURN_IF_ERROR(co_await Erase(driver, std::move(stray), false));
  co_await Report("sandbox.orphan_removed", StrCat("sandboxes/", id),
                  "nothing is recorded about it");
  co_return absl::OkStatus();
}

Task<Status> Node::Rebuild(drivers::Driver* driver, drivers::Driver::Recovered found) {
  CO_ASSIGN_OR_RETURN(KeptRecord kept, ReadKeptRecord(found.record_json));
  Sandbox sandbox = kept.sandbox;
  if (sandbox.driver != driver->name()) {
    co_return DataLoss("the kept record is of driver ", sandbox.driver);
  }
  auto work = [driver, handle = found.handle] { return driver->Inspect(handle); };
  CO_ASSIGN_OR_RETURN(const drivers::Inspection inspection,
                      co_await deps_.pool.Run(std::move(work)));
  if (inspection.presence == drivers::Presence::kGone) {
    co_return NotFound("nothing of it runs, and nothing says how it ended");
  }
  if (tenants_.count(kept.tenant.name) == 0) {
    // The record is from the time of the start. Only a container that runs shows that its tenant
    // has not lost its trust since, as that ends them all; the driver of containers comes first.
    if (sandbox.isolation != IsolationClass::kContainer) kept.tenant.trust = Trust::kUntrusted;
    tenants_[kept.tenant.name] = kept.tenant;
    auto write = [tenant = kept.tenant](store::Transaction& txn) { return txn.PutTenant(tenant); };
    (co_await Commit(std::move(write))).IgnoreError();
    co_await Report("tenant.rebuilt", StrCat("tenants/", kept.tenant.name),
                    StrCat("from a sandbox that runs; ", ToString(kept.tenant.trust)));
  }
  sandbox.handle = found.handle;
  sandbox.process = found.process;
  sandbox.state = SandboxState::kRunning;
  sandbox.released = false;
  sandbox.runtime_proof = "rebuilt from what runs";
  const auto entry = std::make_shared<Entry>(sandbox, deps_.strand);
  Adopt(entry);
  co_await SaveReality(entry, sandbox, "sandbox.rebuilt", "found running without a record");
  WatchExit(entry);
  co_return absl::OkStatus();
}

}  // namespace claw::lifecycle
