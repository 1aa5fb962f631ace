#include "agent/rpc/acceptor.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <chrono>

#include "agent/base/unix_socket.h"

namespace claw::rpc {
namespace {

// Above what the agent itself has open.
constexpr int kFirstNumber = 1024;
constexpr int kNumbers = 16384;
// When descriptors have run out: until some have been closed.
constexpr auto kPause = std::chrono::milliseconds(100);

int NumbersEnd() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return kFirstNumber;
  return static_cast<int>(std::min<rlim_t>(limit.rlim_cur, kFirstNumber + kNumbers));
}

}  // namespace

StatusOr<std::shared_ptr<Acceptor>> Acceptor::Listen(const asio::any_io_executor& strand,
                                                     const std::filesystem::path& socket,
                                                     OnConnection on_connection) {
  RETURN_IF_ERROR(ClearSocketPath(socket));
  auto self = std::make_shared<Acceptor>(strand);
  boost::system::error_code error;
  self->acceptor_.open(asio::local::stream_protocol(), error);
  if (!error) self->acceptor_.bind(socket.string(), error);
  // Nobody connects before it listens, and then the mode is right.
  if (!error && ::chmod(socket.c_str(), 0660) != 0) return ErrnoError(errno, "chmod the socket");
  if (!error) self->acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (error) return Internal("cannot listen on ", socket.string(), ": ", error.message());
  self->socket_ = socket;
  self->on_connection_ = std::move(on_connection);
  asio::post(strand, [self] { self->Next(); });
  return self;
}

void Acceptor::Close() {
  asio::post(acceptor_.get_executor(), [self = shared_from_this()] {
    boost::system::error_code ignored;
    if (!self->acceptor_.is_open()) return;
    self->acceptor_.close(ignored);
    std::error_code gone;
    std::filesystem::remove(self->socket_, gone);
    self->on_connection_ = nullptr;
  });
}

void Acceptor::Next() {
  if (!acceptor_.is_open()) return;
  acceptor_.async_accept(
      [self = shared_from_this()](boost::system::error_code error,
                                  asio::local::stream_protocol::socket connection) {
        if (!self->acceptor_.is_open()) return;
        if (error) {
          auto timer = std::make_shared<asio::steady_timer>(self->acceptor_.get_executor(), kPause);
          timer->async_wait([self, timer](boost::system::error_code) { self->Next(); });
          return;
        }
        boost::system::error_code ignored;
        self->on_connection_(self->WithFreshNumber(UniqueFd(connection.release(ignored))));
        self->Next();
      });
}

UniqueFd Acceptor::WithFreshNumber(UniqueFd connection) {
  // Calls know their connection by its descriptor's number alone. So that a late one is not taken
  // for its successor's, numbers go round instead of being used again at once.
  const int end = NumbersEnd();
  if (next_number_ < kFirstNumber || next_number_ >= end) next_number_ = kFirstNumber;
  const int moved = ::fcntl(connection.get(), F_DUPFD_CLOEXEC, next_number_);
  if (moved < 0) return connection;
  next_number_ = moved + 1;
  return UniqueFd(moved);
}

}  // namespace claw::rpc
