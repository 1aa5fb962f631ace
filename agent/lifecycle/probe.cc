#include "agent/base/strings.h"
#include "agent/lifecycle/node.h"

namespace claw::lifecycle {

Task<void> Node::ProbeDrivers(std::vector<size_t> which) {
  // Side by side: each starts a sandbox of its own.
  auto left = std::make_shared<size_t>(which.size());
  auto done = std::make_shared<Notifier>(deps_.strand);
  for (const size_t i : which) {
    asio::co_spawn(
        deps_.strand,
        [](Node* node, size_t index, std::shared_ptr<size_t> count,
           std::shared_ptr<Notifier> finished) -> Task<void> {
          drivers::Driver* driver = node->drivers_[index].driver;
          auto work = [driver]() -> StatusOr<drivers::Fingerprint> { return driver->Probe(); };
          StatusOr<drivers::Fingerprint> found = co_await node->deps_.pool.Run(std::move(work));
          if (found.ok()) node->drivers_[index].fingerprint = *std::move(found);
          --*count;
          finished->NotifyAll();
        }(this, i, left, done),
        asio::detached);
  }
  while (*left > 0) co_await done->Wait();
  for (const size_t i : which) {
    // The texts are made before the co_await: GCC 12 destroys a conditional's temporaries twice in
    // a coroutine.
    const drivers::Fingerprint& found = drivers_[i].fingerprint;
    std::string text = StrCat(drivers_[i].driver->name(), ": ", found.message);
    if (found.healthy) text = StrCat(drivers_[i].driver->name(), " ", found.runtime_version);
    if (found.healthy && !found.platform.empty()) text += StrCat(" on ", found.platform);
    std::string type = found.healthy ? "driver.healthy" : "driver.unhealthy";
    co_await Report(std::move(type), "node", std::move(text));
  }
}

Task<void> Node::RefreshDrivers() {
  // Whoever comes while others look waits for what they find.
  const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(probe_mutex_);
  std::vector<size_t> changed;
  for (size_t i = 0; i < drivers_.size(); ++i) {
    if (drivers_[i].driver->RuntimeChanged()) changed.push_back(i);
  }
  if (!changed.empty()) co_await ProbeDrivers(std::move(changed));
}

}  // namespace claw::lifecycle
