#pragma once

#include <boost/asio/local/stream_protocol.hpp>
#include <filesystem>
#include <functional>
#include <memory>

#include "agent/base/status.h"
#include "agent/base/unique_fd.h"
#include "agent/rpc/context.h"

namespace claw::rpc {

// Listens on a unix socket (mode 0660) and hands out its connections. gRPC's own listener would
// not tell who connects. On the strand only.
class Acceptor : public std::enable_shared_from_this<Acceptor> {
 public:
  using OnConnection = std::function<void(UniqueFd)>;

  static StatusOr<std::shared_ptr<Acceptor>> Listen(const asio::any_io_executor& strand,
                                                    const std::filesystem::path& socket,
                                                    OnConnection on_connection);
  explicit Acceptor(const asio::any_io_executor& strand) : acceptor_(strand) {}

  // Takes no more connections, and removes the socket. From any thread.
  void Close();

 private:
  void Next();
  UniqueFd WithFreshNumber(UniqueFd connection);

  asio::local::stream_protocol::acceptor acceptor_;
  std::filesystem::path socket_;
  OnConnection on_connection_;
  int next_number_ = 0;
};

}  // namespace claw::rpc
