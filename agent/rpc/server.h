#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>

#include "agent/rpc/context.h"
#include "agent/rpc/tls.h"

namespace claw::rpc {

// Where a server listens.
struct ServerOptions {
  std::filesystem::path socket{};  // mode 0660
  std::optional<TlsListen> tls{};  // absent: nobody is served over a network
};

// The gRPC server: the services, health and reflection.
class Server {
 public:
  // The context outlives the server.
  static StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options,
                                                 const Context& context);
  // After a Shutdown that is done.
  virtual ~Server() = default;

  // Of the network; 0: nobody is served there.
  virtual int port() const = 0;

  // What the health service answers.
  virtual void SetServing(bool serving) = 0;

  // Takes no more calls, gives those under way `grace` to end, then cancels them. `done` is called
  // on a thread of the server's own when all have ended; the strand has to run until then.
  virtual void Shutdown(std::chrono::milliseconds grace, std::function<void()> done) = 0;
};

}  // namespace claw::rpc
