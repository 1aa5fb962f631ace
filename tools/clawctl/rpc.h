#pragma once

// What stands between the stubs and Client. The only header of clawctl that sees gRPC; only
// client.cc and rpc.cc include it, because gRPC's headers take long to compile.

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "agent/base/status.h"
#include "tools/clawctl/client.h"

namespace claw::ctl {

using SteadyTime = std::chrono::steady_clock::time_point;

// The calls under way, so that another thread can end them. Thread-safe.
class Calls {
 public:
  // Keeps a call registered for as long as it lives. The context must outlive it.
  class Entry {
   public:
    Entry(Calls& calls, grpc::ClientContext& context);
    ~Entry();
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;

   private:
    Calls& calls_;
    grpc::ClientContext& context_;
  };

  void CancelAll();

 private:
  std::mutex mutex_;
  std::set<grpc::ClientContext*> running_;
};

// The agent's error, with the detail out of the trailer. Without one, UNAVAILABLE means that nobody
// listens on the socket.
Status FromGrpc(const grpc::Status& status, const std::string& socket);

// Plain text of why a connection to the socket fails; empty if it can be made.
std::string WhyUnreachable(const std::string& socket);

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& socket);

// Sets the call's deadline; an absent one means none.
void SetDeadline(grpc::ClientContext& context, const std::optional<SteadyTime>& deadline);

// Runs `attempt` until it succeeds, fails for good, or has been UNAVAILABLE too often. The pause is
// the server's retry_after, or one that doubles.
Status WithRetries(const ClientOptions& options, Calls& calls, std::string_view method,
                   const std::optional<SteadyTime>& deadline,
                   const std::function<grpc::Status(grpc::ClientContext&)>& attempt);

}  // namespace claw::ctl
