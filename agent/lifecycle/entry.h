#pragma once

#include <memory>

#include "agent/lifecycle/async.h"
#include "agent/lifecycle/node.h"
#include "agent/model/sandbox.h"

namespace claw::lifecycle {

// A sandbox in memory. `record` is what the store has, or is about to have.
struct Node::Entry {
  Entry(Sandbox sandbox, const asio::any_io_executor& executor)
      : record(std::move(sandbox)),
        mutex(std::make_shared<AsyncMutex>(executor)),
        changed(executor) {}

  Sandbox record;
  std::shared_ptr<AsyncMutex> mutex;  // held around the driver's calls that may not overlap
  Notifier changed;
  bool stop_requested = false;
  bool revoked = false;  // the policy no longer allows it
  bool removed = false;
  // Who reads its output, for those that are to vanish by themselves once it has been read.
  int log_readers = 0;
  bool log_was_read = false;
  // The highest overhead in the window that is open; absent: none is.
  struct Window {
    int64_t peak_bytes = 0;
    Time began{};
  };
  std::optional<Window> window{};

  // For one that may wake the waiters after everybody else has let go of the entry.
  static std::shared_ptr<Notifier> Changes(const std::shared_ptr<Entry>& entry) {
    return {entry, &entry->changed};
  }
};

}  // namespace claw::lifecycle
