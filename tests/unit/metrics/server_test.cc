#include "agent/metrics/server.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <future>
#include <thread>

#include "agent/base/listen_address.h"
#include "tests/support/http_client.h"
#include "tests/support/temp_dir.h"

namespace claw::test {
namespace {

namespace asio = boost::asio;

// A server on a strand of its own.
class Fixture {
 public:
  explicit Fixture(metrics::ServerLimits limits = {}, const std::string& listen = "127.0.0.1:0")
      : busy_(asio::make_work_guard(strand_)), thread_([this] { strand_.run(); }) {
    metrics::Sources sources{.metrics = [this] { return text_; },
                             .conditions = [this] { return conditions_; }};
    auto server =
        metrics::Server::Start(strand_.get_executor(), listen, std::move(sources), limits);
    if (server.ok()) server_ = *std::move(server);
    problem_ = server.status();
  }
  ~Fixture() {
    Stop();
    busy_.reset();
    thread_.join();
  }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;

  void Stop() {
    OnStrand([this] { server_.reset(); });
  }
  void Tell(std::string text) {
    OnStrand([&] { text_ = std::move(text); });
  }
  void Complain(std::vector<std::string> conditions) {
    OnStrand([&] { conditions_ = std::move(conditions); });
  }
  std::string address() const { return server_->address(); }
  const Status& problem() const { return problem_; }

 private:
  template <typename Work>
  void OnStrand(Work work) {
    std::promise<void> done;
    asio::post(strand_, [&] {
      work();
      done.set_value();
    });
    done.get_future().wait();
  }

  asio::io_context strand_{1};
  asio::executor_work_guard<asio::io_context::executor_type> busy_;
  std::string text_ = "clawlet 1\n";
  std::vector<std::string> conditions_;
  std::unique_ptr<metrics::Server> server_;
  Status problem_;
  std::thread thread_;
};

HttpClient::Answer Get(const std::string& address, std::string_view method_and_path) {
  HttpClient client(address);
  REQUIRE(client.Ask(method_and_path));
  auto answer = client.Read(method_and_path.starts_with("HEAD"));
  REQUIRE(answer.has_value());
  return *answer;
}

// Connections until one is served: an earlier one may not have been noticed to be over.
void AwaitRoom(const std::string& address) {
  for (int i = 0; i < 100'000; ++i) {
    HttpClient client(address);
    client.Ask("GET /healthz");
    const auto answer = client.Read();
    if (answer && answer->status == 200) return;
  }
  FAIL("the connection is never free");
}

TEST_CASE("server: what it answers") {
  const TempDir dir;
  const bool is_unix = GENERATE(false, true);
  const std::string listen =
      is_unix ? StrCat("unix:", dir.path().string(), "/m.sock") : std::string("127.0.0.1:0");
  Fixture server({}, listen);
  const std::string at = server.address();
  if (is_unix) {
    CHECK((std::filesystem::status(dir.path() / "m.sock").permissions() &
           std::filesystem::perms::all) == static_cast<std::filesystem::perms>(0660));
  } else {
    CHECK(at != listen);
  }
  auto answer = Get(at, "GET /metrics");
  CHECK(answer.status == 200);
  CHECK(answer.body == "clawlet 1\n");
  CHECK(answer.header["content-type"] == "text/plain; version=0.0.4; charset=utf-8");
  CHECK(Get(at, "GET /metrics?name=x").body == "clawlet 1\n");
  answer = Get(at, "HEAD /metrics");
  CHECK(answer.status == 200);
  CHECK(answer.header["content-length"] == "10");

  answer = Get(at, "GET /healthz");
  CHECK(answer.status == 200);
  CHECK(answer.body == "ok\n");
  server.Complain({"driver runc: is not there", "store: no room"});
  answer = Get(at, "GET /healthz");
  CHECK(answer.status == 503);
  CHECK(answer.body == "driver runc: is not there\nstore: no room\n");

  for (const char* path : {"/", "/metric", "/metrics/", "/../metrics", "*", "http://x/metrics"}) {
    CHECK(Get(at, StrCat("GET ", path)).status == 404);
  }
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"}) {
    answer = Get(at, StrCat(method, " /metrics"));
    CHECK(answer.status == 405);
    CHECK(answer.header["allow"] == "GET, HEAD");
  }
}

TEST_CASE("server: a connection serves many requests, until the client has had enough") {
  Fixture server;
  HttpClient client(server.address());
  for (int i = 0; i < 3; ++i) {
    server.Tell(StrCat("text ", i));
    REQUIRE(client.Ask("GET /metrics"));
    CHECK(client.Read()->body == StrCat("text ", i));
    REQUIRE(client.Ask("HEAD /metrics"));
    CHECK(client.Read(true)->status == 200);
  }
  // All at once: they are answered in their order.
  REQUIRE(
      client.Send("GET /metrics HTTP/1.1\r\n\r\nGET /x HTTP/1.1\r\n\r\n"
                  "GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n"));
  CHECK(client.Read()->status == 200);
  CHECK(client.Read()->status == 404);
  const auto last = client.Read();
  CHECK(last->body == "ok\n");
  CHECK(last->header.at("connection") == "close");
  CHECK(client.ReadAll().empty());

  HttpClient old(server.address());
  REQUIRE(old.Send("GET /healthz HTTP/1.0\r\n\r\n"));
  CHECK(old.Read()->status == 200);
  CHECK(old.ReadAll().empty());
}

TEST_CASE("server: what is no request that it takes is answered once, and that is the end") {
  struct Case {
    std::string text;
    int status;
  };
  const std::string get = "GET /metrics HTTP/1.1\r\n";
  const std::string large(9000, 'a');
  const Case test = GENERATE_COPY(values<Case>({
      {"what is this\r\n\r\n", 400},
      {std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 15), 400},
      {"GET /metrics HTTP/9.9\r\n\r\n", 400},
      {get + "no colon\r\n\r\n", 400},
      {get + "Content-Length: many\r\n\r\n", 400},
      {get + "Content-Length: 4\r\n\r\nbody", 413},
      {get + "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", 413},
      {"POST /metrics HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody", 405},
      {get + "X: " + large + "\r\n\r\n", 431},
      {get + "X: " + large, 431},
      {"GET /" + large + " HTTP/1.1\r\n\r\n", 431},
  }));
  CAPTURE(test.text);
  Fixture server;
  HttpClient client(server.address());
  client.Send(test.text);
  const auto answer = client.Read();
  REQUIRE(answer.has_value());
  CHECK(answer->status == test.status);
  CHECK(answer->header.at("connection") == "close");
  CHECK(client.ReadAll().empty());
  CHECK(Get(server.address(), "GET /healthz").status == 200);
}

TEST_CASE("server: who sends too slowly, or nothing, is cut off") {
  Fixture server({.time = std::chrono::milliseconds(50)});
  const char* const begun = GENERATE("", "GET", "GET /metrics HTTP/1.1\r\nHost: a\r\n");
  HttpClient client(server.address());
  client.Send(begun);
  CHECK(client.ReadAll().empty());
}

TEST_CASE("server: who does not read its answer is cut off and makes room") {
  Fixture server({.connections = 1, .time = std::chrono::milliseconds(50)});
  server.Tell(std::string(64 << 20, 'x'));  // more than the kernel holds for a reader
  HttpClient sleeper(server.address());
  REQUIRE(sleeper.Ask("GET /metrics"));
  AwaitRoom(server.address());
  CHECK_FALSE(sleeper.Read().has_value());
}

TEST_CASE("server: so many connections at once and no more") {
  Fixture server;
  std::vector<std::unique_ptr<HttpClient>> clients;
  for (int i = 0; i < 16; ++i) {
    clients.push_back(std::make_unique<HttpClient>(server.address()));
    REQUIRE(clients.back()->Ask("GET /healthz"));
    REQUIRE(clients.back()->Read()->status == 200);
  }
  HttpClient one_more(server.address());
  CHECK(one_more.Read()->status == 503);
  CHECK(one_more.ReadAll().empty());
  REQUIRE(clients.front()->Ask("GET /metrics"));
  CHECK(clients.front()->Read()->status == 200);
  clients.pop_back();
  AwaitRoom(server.address());
}

TEST_CASE("server: when it stops, connections end and nobody is asked any more") {
  const TempDir dir;
  const std::string path = (dir.path() / "m.sock").string();
  Fixture server({}, StrCat("unix:", path));
  HttpClient idle(server.address());
  REQUIRE(idle.Ask("GET /metrics"));
  REQUIRE(idle.Read()->status == 200);
  HttpClient half(server.address());
  REQUIRE(half.Send("GET /metr"));
  server.Stop();
  CHECK(idle.ReadAll().empty());
  CHECK(half.ReadAll().empty());
  CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("server: an address that others could reach is refused, and so is what is taken") {
  for (const char* listen : {"0.0.0.0:0", "[::]:0", "192.0.2.1:9464", "10.0.0.1:9464",
                             "[::ffff:127.0.0.1]:9464", "128.0.0.1:9464"}) {
    const Fixture server({}, listen);
    CHECK(server.problem().code() == StatusCode::kInvalidArgument);
    CHECK_THAT(std::string(server.problem().message()),
               Catch::Contains(listen) && Catch::Contains("other machines may reach"));
  }
  Fixture first;
  const Fixture second({}, first.address());
  CHECK(second.problem().code() == StatusCode::kUnavailable);
  CHECK_THAT(std::string(second.problem().message()),
             Catch::Contains("cannot serve metrics on " + first.address()));
  const TempDir dir;
  const std::string file = (dir.path() / "file").string();
  std::ofstream(file) << "data";
  const Fixture third({}, "unix:" + file);
  CHECK(third.problem().code() == StatusCode::kFailedPrecondition);
  CHECK(std::filesystem::exists(file));
}

TEST_CASE("listen addresses: forms") {
  CHECK(*ParseListenAddress("127.0.0.1:9464") ==
        ListenAddress{.host = "127.0.0.1", .port = 9464, .socket = {}});
  CHECK(ParseListenAddress("127.8.9.1:0")->host == "127.8.9.1");
  CHECK(*ParseListenAddress("[::1]:65535") ==
        ListenAddress{.host = "::1", .port = 65535, .socket = {}});
  CHECK(ParseListenAddress("unix:/run/x/../m.sock")->socket == "/run/m.sock");
  for (const char* text : {"127.0.0.1:9464", "[::1]:1", "unix:/run/m.sock"}) {
    CHECK(ToString(*ParseListenAddress(text)) == text);
  }
  for (const std::string& text :
       {std::string(), std::string("localhost:9464"), std::string(":9464"),
        std::string("127.0.0.1"), std::string("127.0.0.1:"), std::string("127.0.0.1:65536"),
        std::string("127.0.0.1:-1"), std::string("127.0.0.1:x"), std::string("127.1:9464"),
        std::string("::1:9464"), std::string("[127.0.0.1]:1"), std::string("unix:m.sock"),
        std::string("unix:"), std::string("127.0.0.1\0:1", 12), std::string("unix:/a b"),
        std::string("unix:/a\nb"), std::string("http://127.0.0.1:1")}) {
    CAPTURE(text);
    CHECK(ParseListenAddress(text).status().code() == StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace claw::test
