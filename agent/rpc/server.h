#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>

#include "agent/rpc/context.h"

namespace claw::rpc {

// The gRPC server: the services, health and reflection on one unix socket.
class Server {
 public:
  // Listens on `socket` (mode 0660). The context outlives the server.
  static StatusOr<std::unique_ptr<Server>> Start(const std::filesystem::path& socket,
                                                 const Context& context);
  // After a Shutdown that is done.
  virtual ~Server() = default;

  // What the health service answers.
  virtual void SetServing(bool serving) = 0;

  // Takes no more calls, gives those under way `grace` to end, then cancels them. `done` is called
  // on a thread of the server's own when all have ended; the strand has to run until then.
  virtual void Shutdown(std::chrono::milliseconds grace, std::function<void()> done) = 0;
};

}  // namespace claw::rpc
