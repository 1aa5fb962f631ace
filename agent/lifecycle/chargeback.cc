#include <algorithm>

#include "agent/base/strings.h"
#include "agent/budget/chargeback.h"
#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/node.h"
#include "agent/lifecycle/request_guard.h"

namespace claw::lifecycle {

ByteSeconds Node::Owed(Entry& entry, Time now) {
  if (entry.bill) return entry.bill->charged;
  const Sandbox& record = entry.record;
  if (record.released) return {};
  // The clock may have been set back since it was looked at last: a bill never gets smaller.
  entry.charged_until = std::max(entry.charged_until, now);
  return budget::Accrued(record.resources.memory, record.created_at, entry.charged_until);
}

std::optional<TenantUsage> Node::CloseBill(Entry& entry) {
  if (!entry.bill && !entry.record.released) {
    entry.bill =
        TenantUsage{.tenant = entry.record.spec.tenant, .charged = Owed(entry, deps_.clock.Now())};
  }
  return entry.bill;
}

void Node::PayBill(Entry& entry) {
  if (!entry.bill) return;
  usage_[entry.bill->tenant] += entry.bill->charged;
  entry.bill.reset();
}

Task<Status> Node::DropRecord(std::shared_ptr<Entry> entry, store::RequestRecord request,
                              std::vector<Event> events) {
  const auto bill = CloseBill(*entry);
  const auto write = [id = entry->record.id, bill, request](store::Transaction& txn) -> Status {
    RETURN_IF_ERROR(txn.DeleteSandbox(id));
    if (bill) RETURN_IF_ERROR(txn.AddTenantUsage(*bill));
    return RecordRequest(txn, request);
  };
  const Status dropped = co_await Commit(write, std::move(events));
  if (!dropped.ok()) {
    // It goes on being charged, unless that had ended already.
    if (!entry->record.released) entry->bill.reset();
    co_return dropped;
  }
  PayBill(*entry);
  RememberRequest(request);
  Forget(entry);
  co_return absl::OkStatus();
}

Tally Node::TakeTally() {
  Tally tally;
  for (const auto& [name, tenant] : tenants_) {
    Tally::TenantTally& one = tally.tenants[name];
    if (const auto it = usage_.find(name); it != usage_.end()) one.charged = it->second;
  }
  const Time now = deps_.clock.Now();
  for (const auto& [id, entry] : sandboxes_) {
    const Sandbox& record = entry->record;
    ++tally.sandboxes[{record.driver, record.state}];
    const auto tenant = tally.tenants.find(record.spec.tenant);
    if (tenant == tally.tenants.end()) continue;
    Tally::TenantTally& one = tenant->second;
    // A reservation that cannot be recorded is taken back, and then was never charged.
    if (record.state != SandboxState::kReserved) one.charged += Owed(*entry, now);
    if (record.released) continue;
    const Memory& memory = record.resources.memory;
    ++one.sandboxes;
    one.charged_workload_bytes = SaturatingAdd(one.charged_workload_bytes, RequestOf(memory));
    one.charged_overhead_bytes = SaturatingAdd(one.charged_overhead_bytes, memory.overhead_bytes);
  }
  tally.images = static_cast<int64_t>(images_.size());
  return tally;
}

}  // namespace claw::lifecycle
