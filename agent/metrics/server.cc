#include "agent/metrics/server.h"

#include <sys/stat.h>

#include <array>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <cerrno>
#include <set>

#include "agent/base/listen_address.h"
#include "agent/base/unix_socket.h"

namespace claw::metrics {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using lifecycle::Task;

using Protocol = asio::generic::stream_protocol;
using Acceptor = asio::basic_socket_acceptor<Protocol, asio::any_io_executor>;
using Stream = beast::basic_stream<Protocol, asio::any_io_executor>;
using Request = http::request<http::empty_body>;
using Response = http::response<http::string_body>;

constexpr size_t kMaxHeaderBytes = 8192;
constexpr int kMaxWaiting = 16;  // connections that the kernel holds until they are accepted
// When descriptors have run out: until some have been closed.
constexpr auto kPause = std::chrono::milliseconds(100);
// A client that still sends when it is answered for good would lose the answer to a reset.
constexpr auto kLinger = std::chrono::seconds(1);
constexpr int kLingerReads = 16;
constexpr std::string_view kMetricsType = "text/plain; version=0.0.4; charset=utf-8";
constexpr std::string_view kTextType = "text/plain; charset=utf-8";
constexpr std::string_view kBusy =
    "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

// What connections that are under way may touch after the server has gone.
struct State {
  explicit State(const asio::any_io_executor& strand) : acceptor(strand) {}

  Acceptor acceptor;
  Sources sources{};
  ServerLimits limits{};
  std::filesystem::path socket{};  // to be removed at the end; empty: there is none
  std::set<Stream*> streams{};     // that are open
  bool stopped = false;
};

// One of the connections that may be open at once.
class Slot {
 public:
  Slot(std::shared_ptr<State> state, Stream& stream) : state_(std::move(state)), stream_(stream) {
    state_->streams.insert(&stream_);
  }
  ~Slot() { state_->streams.erase(&stream_); }
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;

 private:
  std::shared_ptr<State> state_;
  Stream& stream_;
};

beast::string_view ToBeast(std::string_view text) { return {text.data(), text.size()}; }

Response Make(http::status status, std::string body, std::string_view type = kTextType) {
  Response response(status, 11);
  response.set(http::field::content_type, ToBeast(type));
  response.body() = std::move(body);
  return response;
}

Response Health(const std::vector<std::string>& conditions) {
  if (conditions.empty()) return Make(http::status::ok, "ok\n");
  return Make(http::status::service_unavailable, Join(conditions, "\n") + "\n");
}

bool IsForMetrics(const Request& request) {
  const std::string_view target(request.target().data(), request.target().size());
  return target.substr(0, target.find('?')) == "/metrics";
}

Response Answer(const Sources& sources, const Request& request, bool has_body) {
  if (request.method() != http::verb::get && request.method() != http::verb::head) {
    Response response = Make(http::status::method_not_allowed, "only GET and HEAD\n");
    response.set(http::field::allow, "GET, HEAD");
    return response;
  }
  if (has_body) return Make(http::status::payload_too_large, "no content is taken\n");
  const std::string_view target(request.target().data(), request.target().size());
  const std::string_view path = target.substr(0, target.find('?'));
  if (path == "/metrics") return Make(http::status::ok, sources.metrics(), kMetricsType);
  if (path == "/healthz") return Health(sources.conditions());
  return Make(http::status::not_found, "there are /metrics and /healthz\n");
}

// What to say to a request that could not be read; nothing to a client that is gone or too slow.
std::optional<Response> Complain(boost::system::error_code error) {
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    return Make(http::status::request_header_fields_too_large,
                StrCat("a header of more than ", kMaxHeaderBytes, " bytes\n"));
  }
  const bool malformed = error.category() == make_error_code(http::error::bad_method).category();
  if (!malformed || error == http::error::end_of_stream || error == http::error::partial_message) {
    return std::nullopt;
  }
  return Make(http::status::bad_request, "this is no HTTP/1.1 request\n");
}

Task<void> Write(State& state, Stream& stream, Response response, bool head,
                 boost::system::error_code& error) {
  response.prepare_payload();
  // The length stays that of what GET would bring.
  if (head) response.body().clear();
  stream.expires_after(state.limits.time);
  co_await http::async_write(stream, response, asio::redirect_error(asio::use_awaitable, error));
}

Task<void> Linger(State& state, Stream& stream) {
  boost::system::error_code error;
  stream.socket().shutdown(asio::socket_base::shutdown_send, error);
  stream.expires_after(std::min<std::chrono::milliseconds>(state.limits.time, kLinger));
  std::array<char, 4096> rest;
  const auto into = asio::buffer(rest);
  for (int i = 0; i < kLingerReads && !error; ++i) {
    co_await stream.async_read_some(into, asio::redirect_error(asio::use_awaitable, error));
  }
}

Task<void> Serve(std::shared_ptr<State> state, Protocol::socket socket) {
  Stream stream(std::move(socket));
  const Slot slot(state, stream);
  beast::flat_buffer buffer(kMaxHeaderBytes);
  for (bool more = true; more;) {
    http::request_parser<http::empty_body> parser;
    parser.header_limit(kMaxHeaderBytes);
    stream.expires_after(state->limits.time);
    boost::system::error_code error;
    co_await http::async_read_header(stream, buffer, parser,
                                     asio::redirect_error(asio::use_awaitable, error));
    if (state->stopped) co_return;
    std::optional<Response> response;
    bool head = false;
    if (error) {
      response = Complain(error);
      more = false;
    } else {
      head = parser.get().method() == http::verb::head;
      more = parser.is_done() && parser.keep_alive();
      if (state->sources.prepare && IsForMetrics(parser.get())) {
        co_await state->sources.prepare();
        if (state->stopped) co_return;
      }
      response = Answer(state->sources, parser.get(), !parser.is_done());
    }
    if (!response) co_return;
    response->keep_alive(more);
    error = {};
    co_await Write(*state, stream, *std::move(response), head, error);
    if (error || state->stopped) co_return;
  }
  co_await Linger(*state, stream);
}

Task<void> Accept(std::shared_ptr<State> state) {
  const auto strand = state->acceptor.get_executor();
  while (!state->stopped) {
    boost::system::error_code error;
    Protocol::socket socket =
        co_await state->acceptor.async_accept(asio::redirect_error(asio::use_awaitable, error));
    if (state->stopped) co_return;
    if (error) {
      asio::steady_timer timer(strand, kPause);
      co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, error));
    } else if (state->streams.size() >= state->limits.connections) {
      socket.non_blocking(true, error);
      // The little fits into what the kernel buffers for a connection that is new.
      socket.write_some(asio::buffer(kBusy), error);
    } else {
      asio::co_spawn(strand, Serve(state, std::move(socket)), asio::detached);
    }
  }
}

class ServerImpl final : public Server {
 public:
  ServerImpl(std::shared_ptr<State> state, std::string address)
      : state_(std::move(state)), address_(std::move(address)) {}
  ~ServerImpl() override { Stop(); }

  void Stop() override {
    if (state_->stopped) return;
    state_->stopped = true;
    boost::system::error_code ignored;
    state_->acceptor.close(ignored);
    for (Stream* stream : state_->streams) stream->close();
    state_->sources = {};
    std::error_code gone;
    if (!state_->socket.empty()) std::filesystem::remove(state_->socket, gone);
  }

  const std::string& address() const override { return address_; }

 private:
  std::shared_ptr<State> state_;
  const std::string address_;
};

Status Listen(State& state, const ListenAddress& address) {
  Protocol::endpoint endpoint;
  boost::system::error_code error;
  if (address.is_unix()) {
    RETURN_IF_ERROR(ClearSocketPath(address.socket));
    endpoint = asio::local::stream_protocol::endpoint(address.socket.string());
  } else {
    endpoint = asio::ip::tcp::endpoint(asio::ip::make_address(address.host, error), address.port);
  }
  if (!error) state.acceptor.open(endpoint.protocol(), error);
  if (!error && !address.is_unix()) {
    state.acceptor.set_option(asio::socket_base::reuse_address(true), error);
  }
  if (!error) state.acceptor.bind(endpoint, error);
  // Nobody connects before it listens, and then the mode is right.
  if (!error && address.is_unix()) {
    if (::chmod(address.socket.c_str(), 0660) != 0) return ErrnoError(errno, "chmod the socket");
    state.socket = address.socket;
  }
  if (!error) state.acceptor.listen(kMaxWaiting, error);
  if (error) return Unavailable(error.message());
  return absl::OkStatus();
}

// The one asked for, with the port that the kernel chose.
StatusOr<std::string> Resolve(const State& state, ListenAddress address) {
  if (address.is_unix()) return ToString(address);
  boost::system::error_code error;
  const Protocol::endpoint bound = state.acceptor.local_endpoint(error);
  if (error) return Internal("cannot tell where it listens: ", error.message());
  asio::ip::tcp::endpoint tcp;
  tcp.resize(bound.size());
  std::memcpy(tcp.data(), bound.data(), bound.size());
  address.port = tcp.port();
  return ToString(address);
}

}  // namespace

StatusOr<std::unique_ptr<Server>> Server::Start(const asio::any_io_executor& strand,
                                                std::string_view listen, Sources sources,
                                                ServerLimits limits) {
  StatusOr<ListenAddress> address = ParseListenAddress(listen);
  if (!address.ok()) return Annotate(address.status(), "where metrics are served");
  auto state = std::make_shared<State>(strand);
  state->sources = std::move(sources);
  state->limits = limits;
  const Status listening = Listen(*state, *address);
  if (!listening.ok()) {
    return Annotate(listening, StrCat("cannot serve metrics on ", ToString(*address)));
  }
  ASSIGN_OR_RETURN(std::string resolved, Resolve(*state, *std::move(address)));
  asio::co_spawn(strand, Accept(state), asio::detached);
  return std::make_unique<ServerImpl>(std::move(state), std::move(resolved));
}

}  // namespace claw::metrics
