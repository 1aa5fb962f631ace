#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/lifecycle/async.h"

namespace claw::metrics {

// What is served. On the strand, once for each request.
struct Sources {
  // Awaited before each of `metrics`, for what is not known on the strand; may be empty.
  std::function<lifecycle::Task<void>()> prepare{};
  std::function<std::string()> metrics{};                  // in Prometheus' text form
  std::function<std::vector<std::string>()> conditions{};  // what is wrong; empty: nothing
};

struct ServerLimits {
  size_t connections = 16;  // at once; one more is answered with 503 and closed
  // For each request of a connection to come, and again for its answer to go.
  std::chrono::milliseconds time = std::chrono::seconds(10);
};

// GET and HEAD of /metrics and /healthz by HTTP/1.1, for programs of this machine. There is no
// authentication: who may connect may read. On the strand, but for what says otherwise.
class Server {
 public:
  // Listens; see ParseListenAddress for the form and for what is refused. A unix socket has mode
  // 0660. Errors say what could not be listened on. From any thread.
  static StatusOr<std::unique_ptr<Server>> Start(const lifecycle::asio::any_io_executor& strand,
                                                 std::string_view listen, Sources sources,
                                                 ServerLimits limits = {});
  virtual ~Server() = default;

  // Takes no more connections and cuts those that are there. `sources` are not called any more.
  virtual void Stop() = 0;

  // Where it listens, with the port that was found free if 0 was asked for. From any thread.
  virtual const std::string& address() const = 0;
};

}  // namespace claw::metrics
