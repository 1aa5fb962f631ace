#include "agent/base/strings.h"
#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/node.h"

namespace claw::lifecycle {
namespace {

// How long a change of trust waits for the ends that it causes.
constexpr auto kRevokeBound = std::chrono::seconds(60);
constexpr auto kRetry = std::chrono::milliseconds(500);

}  // namespace

bool Node::MayGoOn(const Sandbox& sandbox) const {
  if (IsTerminal(sandbox.state)) return true;
  switch (sandbox.isolation) {
    case IsolationClass::kGvisor:
      return true;
    case IsolationClass::kContainer: {
      const auto tenant = tenants_.find(sandbox.spec.tenant);
      return tenant != tenants_.end() && tenant->second.trust == Trust::kTrusted;
    }
    case IsolationClass::kLegacyHardened:
      // A node whose checks fail takes no new work of this class, but one that is no longer meant
      // to be hardened must not go on with it.
      return config_.node_class == NodeClass::kHardened;
  }
  return false;
}

std::vector<std::shared_ptr<Node::Entry>> Node::RevokeForbidden(const std::string& actor) {
  std::vector<std::shared_ptr<Entry>> forbidden;
  for (const auto& [id, entry] : sandboxes_) {
    if (MayGoOn(entry->record)) continue;
    forbidden.push_back(entry);
    if (entry->revoked) continue;
    entry->revoked = true;
    asio::co_spawn(deps_.strand, Revoke(entry, actor), asio::detached);
  }
  return forbidden;
}

Task<Status> Node::AwaitRevoked(std::vector<std::shared_ptr<Entry>> entries) {
  const auto deadline = std::chrono::steady_clock::now() + kRevokeBound;
  size_t left = 0;
  for (const std::shared_ptr<Entry>& entry : entries) {
    const auto rest = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (rest.count() > 0) co_await AwaitEnd(entry, rest);
    if (!entry->removed && !IsTerminal(entry->record.state)) ++left;
  }
  if (left == 0) co_return absl::OkStatus();
  co_return MakeError(
      StatusCode::kDeadlineExceeded,
      StrCat(left, " sandboxes that may no longer run have been killed but do not end"),
      {.reason = "STILL_RUNNING", .retry_after = std::chrono::seconds(5)});
}

Task<void> Node::Revoke(std::shared_ptr<Entry> entry, std::string actor) {
  while (!draining_ && !entry->removed && !IsTerminal(entry->record.state)) {
    const Status ended = co_await EndProgram(entry, std::chrono::milliseconds(0), actor);
    if (ended.ok()) co_return;
    co_await Sleep(kRetry);
  }
}

}  // namespace claw::lifecycle
