#pragma once

#include <algorithm>
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
  bool evicted = false;  // it has to go for want of memory
  bool removed = false;
  std::optional<std::chrono::steady_clock::time_point> lease_until{};  // of a reservation
  // Who reads its output, for those that are to vanish by themselves once it has been read.
  int log_readers = 0;
  bool log_was_read = false;
  // The highest overhead in the window that is open, and what the program used at each look;
  // absent: none is.
  struct Window {
    int64_t peak_bytes = 0;
    Time began{};
    int64_t looks = 0;
    double used_sum = 0;
    double used_square_sum = 0;

    void Add(int64_t overhead_bytes, int64_t program_bytes) {
      peak_bytes = std::max(peak_bytes, overhead_bytes);
      const auto used = static_cast<double>(program_bytes);
      used_sum += used;
      used_square_sum += used * used;
      ++looks;
    }
    // Weight 1, or nothing if nobody looked.
    UsageMoments ProgramUsage() const {
      if (looks == 0) return {};
      const auto count = static_cast<double>(looks);
      return {.weight = 1, .mean_sum = used_sum / count, .square_sum = used_square_sum / count};
    }
  };
  std::optional<Window> window{};
  // As of the last measurement.
  int64_t used_workload_bytes = 0;
  int64_t used_overhead_bytes = 0;
  std::optional<int64_t> limit_hits{};
  Time charged_until{};  // what its tenant owes for it has been shown up to here
  // What its tenant owes for it, once it is charged no longer, until that is recorded.
  std::optional<TenantUsage> bill{};

  // For one that may wake the waiters after everybody else has let go of the entry.
  static std::shared_ptr<Notifier> Changes(const std::shared_ptr<Entry>& entry) {
    return {entry, &entry->changed};
  }
};

}  // namespace claw::lifecycle
