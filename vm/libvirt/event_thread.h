#pragma once

#include <atomic>
#include <memory>
#include <thread>

#include "agent/base/status.h"
#include "vm/libvirt/api.h"

namespace claw::vm {

// Runs libvirt's event loop, from which its callbacks come; they are to hand on what they are told.
// libvirt takes one loop for each process, and for good: the first Start makes it, later ones run
// it again. One at a time.
class EventThread {
 public:
  static StatusOr<std::unique_ptr<EventThread>> Start(std::shared_ptr<const LibvirtApi> api);
  explicit EventThread(std::shared_ptr<const LibvirtApi> api) : api_(std::move(api)) {}
  // Waits for the callback that is under way.
  ~EventThread();

 private:
  void Run();

  const std::shared_ptr<const LibvirtApi> api_;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

}  // namespace claw::vm
