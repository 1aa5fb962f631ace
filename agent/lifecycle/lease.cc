#include <algorithm>

#include "agent/base/strings.h"
#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/node.h"

namespace claw::lifecycle {
namespace {

// A disk that does not take the end of a lease is asked again after so long.
constexpr auto kRetry = std::chrono::seconds(1);

}  // namespace

// Leases run on the steady clock: setting the wall clock neither ends them nor makes them last.
// Over a restart only the wall clock is left, and then none gets longer than it was.
void Node::BeginLease(const std::shared_ptr<Entry>& entry) {
  const std::optional<Lease>& lease = entry->record.lease;
  if (!lease || entry->lease_until) return;
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(lease->expires_at - deps_.clock.Now());
  const auto time = std::clamp(left, std::chrono::milliseconds(0), lease->ttl);
  entry->lease_until = std::chrono::steady_clock::now() + time;
  leases_.by_end.emplace(*entry->lease_until, entry->record.id);
  ArmLeases();
}

void Node::EndLease(Entry& entry) {
  if (!entry.lease_until) return;
  leases_.by_end.erase({*entry.lease_until, entry.record.id});
  entry.lease_until.reset();
}

bool Node::HasExpired(const Entry& entry) const {
  return entry.lease_until && *entry.lease_until <= std::chrono::steady_clock::now();
}

// One timer for all of them, at the earliest end.
void Node::ArmLeases() {
  if (leases_.by_end.empty() || draining_) return;
  const auto next = leases_.by_end.begin()->first;
  if (leases_.armed && *leases_.armed <= next) return;
  leases_.armed = next;
  leases_.timer.expires_at(next);
  leases_.timer.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    leases_.armed.reset();
    ExpireLeases();
  });
}

void Node::ExpireLeases() {
  const auto now = std::chrono::steady_clock::now();
  while (!leases_.by_end.empty() && leases_.by_end.begin()->first <= now) {
    const std::shared_ptr<Entry> entry = Find(leases_.by_end.begin()->second);
    leases_.by_end.erase(leases_.by_end.begin());
    // Each by itself: one may have to wait for a commit that is under way.
    if (entry != nullptr) asio::co_spawn(deps_.strand, Expire(entry), asio::detached);
  }
  ArmLeases();
}

Task<void> Node::Expire(std::shared_ptr<Entry> entry) {
  while (!draining_ && !entry->removed && entry->record.lease) {
    store::RequestRecord nobodys;
    Call own;
    const Status ended = co_await EndReservation(entry, std::move(nobodys), "expired", own);
    if (ended.ok()) co_return;
    co_await Sleep(kRetry);
  }
}

}  // namespace claw::lifecycle
