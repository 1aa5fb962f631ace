#pragma once

#include <atomic>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <functional>
#include <memory>

#include "agent/base/unique_fd.h"
#include "agent/lifecycle/async.h"

namespace claw {

// Wakes when the kernel tells of a stall, or of a group of sandboxes in which it found nothing to
// take back, and has the node look. Nothing happens as long as the kernel is silent. On the strand,
// but for what says otherwise.
class PressureWatch {
 public:
  PressureWatch(boost::asio::any_io_executor strand, std::function<lifecycle::Task<void>()> look);

  // A share of time; see host::WatchMemoryStall.
  Status WatchStall(double share);
  // As host::Cgroups::WatchOom makes it; `is_events`: it is a file of events, not a count. In the
  // place of an earlier one. From any thread.
  void WatchOom(UniqueFd fd, bool is_events);
  // How often there was nothing to take back; 0 for a file of events, which has the number itself.
  // From any thread.
  int64_t ooms() const { return *ooms_; }

  void Stop();

 private:
  using Descriptor = boost::asio::posix::stream_descriptor;

  // What a wait that is under way may touch after this object has gone.
  struct State {
    std::function<lifecycle::Task<void>()> look;
    std::shared_ptr<Descriptor> stall;
    std::shared_ptr<Descriptor> oom;
    bool stopped = false;
  };

  static lifecycle::Task<void> AwaitStalls(std::shared_ptr<State> state);
  static lifecycle::Task<void> AwaitOoms(std::shared_ptr<State> state, bool is_events,
                                         std::shared_ptr<std::atomic<int64_t>> ooms);

  boost::asio::any_io_executor strand_;
  std::shared_ptr<State> state_;
  std::shared_ptr<std::atomic<int64_t>> ooms_ = std::make_shared<std::atomic<int64_t>>(0);
};

}  // namespace claw
