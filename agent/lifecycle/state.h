#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "agent/lifecycle/async.h"
#include "agent/model/host_room.h"

// What the verbs of a Node remember from one call to the next, where it is more than a value.

namespace claw::lifecycle {

// pressure.cc
struct PressureWatch {
  std::shared_ptr<AsyncMutex> mutex{};  // held while the kernel is asked
  std::chrono::steady_clock::time_point looked{};
  std::string problem{};  // why the last look failed
  bool watching = false;  // WatchPressure runs
  std::optional<std::chrono::steady_clock::time_point> explained_told{};
  int64_t group_ooms = 0;        // as of the last look
  bool ran_out = false;          // since the last measurement the sandboxes wanted too much
  bool nobody_to_evict = false;  // that has been told, of the band that the node is in
};

// create.cc
struct RoomWatch {
  std::optional<HostRoom> found{};      // as of the last look; absent: not known
  std::shared_ptr<AsyncMutex> mutex{};  // held while the machine is asked
  std::chrono::steady_clock::time_point looked{};
};

// lease.cc
struct LeaseTable {
  std::set<std::pair<std::chrono::steady_clock::time_point, std::string>> by_end{};  // end, id
  asio::steady_timer timer;
  std::optional<std::chrono::steady_clock::time_point> armed{};
};

}  // namespace claw::lifecycle
