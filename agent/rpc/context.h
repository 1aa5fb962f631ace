#pragma once

#include <functional>
#include <string>

#include "agent/base/clock.h"
#include "agent/lifecycle/async.h"
#include "agent/lifecycle/node.h"
#include "agent/model/node_role.h"
#include "drivers/image/image_store.h"

namespace claw::rpc {

namespace asio = boost::asio;
using lifecycle::Task;

// What the services work with. Outlives the server.
struct Context {
  asio::any_io_executor strand;
  lifecycle::Node& node;
  lifecycle::BlockingPool& pool;
  const Clock& clock;
  std::string agent_version{};
  std::string cgroup_mode{};
  NodeRole role = NodeRole::kHost;
  // Of a guest alone; called on the strand.
  struct GuestHooks {
    std::function<Status(Time)> set_clock{};
    std::function<void()> power_off{};            // when the call has been answered
    std::function<void(bool at_once)> restart{};  // … or before that
    image::ImageStore* images = nullptr;          // where what the host sends goes; the node's own
  };
  GuestHooks guest{};
  // Told, on the strand, of answers that mean a fault of the node and not of the caller.
  std::function<void(const std::string&)> log_fault{};
};

}  // namespace claw::rpc
