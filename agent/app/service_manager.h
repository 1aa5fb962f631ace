#pragma once

#include <string>
#include <string_view>

namespace claw {

// Tells systemd (or who speaks its notify protocol) how the agent stands, over the socket named in
// NOTIFY_SOCKET. Without one it does nothing.
class ServiceManager {
 public:
  // `socket`: a path, or "@NAME" for an abstract one; empty: nobody wants to know.
  explicit ServiceManager(std::string socket) : socket_(std::move(socket)) {}
  static ServiceManager FromEnvironment();

  void Ready() const { Send("READY=1"); }
  void Stopping() const { Send("STOPPING=1"); }
  void SetStatus(std::string_view text) const;

 private:
  void Send(std::string_view message) const;

  const std::string socket_;
};

}  // namespace claw
