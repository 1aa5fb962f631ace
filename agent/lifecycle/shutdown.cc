#include "agent/lifecycle/compat.h"
#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/node.h"
#include "agent/lifecycle/vms.h"

namespace claw::lifecycle {

Task<void> Node::Drain() {
  draining_ = true;
  bus_.Close();
  vms_->Close();
  leases_.timer.cancel();
  for (const auto& [id, entry] : sandboxes_) entry->changed.NotifyAll();
  for (const std::shared_ptr<CompatTest>& test : compat_tests_) test->changed.NotifyAll();
  while (under_way_ > 0) co_await drained_.Wait();
  for (const auto& [id, entry] : sandboxes_) CloseWindow(*entry, deps_.clock.Now());
  co_await SaveOverheads();
}

}  // namespace claw::lifecycle
