#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <catch2/catch.hpp>
#include <csignal>
#include <fstream>
#include <stdexcept>

#include "agent/base/subprocess.h"
#include "agent/base/unix_socket.h"
#include "agent/rpc/call_task.h"
#include "agent/rpc/fd_waiter.h"
#include "agent/rpc/gates.h"
#include "agent/rpc/log_stream.h"
#include "agent/rpc/program_input.h"
#include "agent/rpc/task_group.h"
#include "tests/support/temp_dir.h"

namespace claw::rpc {
namespace {

// A strand of which the test itself is the thread.
struct Strand {
  asio::io_context context;
  asio::any_io_executor executor = context.get_executor();

  void RunAll() {
    context.restart();
    context.run();
  }
  void RunReady() {
    context.restart();
    context.poll();
  }
  void Spawn(std::function<Task<void>()> body) {
    asio::co_spawn(context, std::move(body), asio::detached);
  }
};

std::shared_ptr<CallTask> MakeCall(Strand& strand, WhenCallerLeaves when) {
  return std::make_shared<CallTask>(strand.executor, when);
}

Task<Status> WaitForever(const asio::any_io_executor& strand, bool& left) {
  lifecycle::Notifier never(strand);
  while (!co_await lifecycle::IsCancelled()) co_await never.Wait();
  left = true;
  co_return CallerGone();
}

TEST_CASE("call: answers on the strand") {
  Strand strand;
  const auto call = MakeCall(strand, WhenCallerLeaves::kCancel);
  Status answer = absl::UnknownError("none");
  call->Start([]() -> Task<Status> { co_return NotFound("x"); },
              [&](Status status) { answer = std::move(status); });
  CHECK(answer.code() == StatusCode::kUnknown);
  strand.RunAll();
  CHECK(answer.code() == StatusCode::kNotFound);
}

TEST_CASE("call: an exception is an internal error") {
  Strand strand;
  Status answer;
  MakeCall(strand, WhenCallerLeaves::kCancel)
      ->Start(
          []() -> Task<Status> {
            throw std::runtime_error("a bug");
            co_return absl::OkStatus();
          },
          [&](Status status) { answer = std::move(status); });
  strand.RunAll();
  CHECK(answer.code() == StatusCode::kInternal);
  CHECK_THAT(std::string(answer.message()), Catch::Contains("a bug"));
}

TEST_CASE("call: its caller's leaving ends a wait") {
  Strand strand;
  const auto call = MakeCall(strand, WhenCallerLeaves::kCancel);
  bool left = false;
  Status answer;
  call->Start([&] { return WaitForever(strand.executor, left); },
              [&](Status status) { answer = std::move(status); });
  strand.RunReady();
  CHECK(!left);
  call->Cancel();
  strand.RunReady();
  CHECK(left);
  CHECK(answer.code() == StatusCode::kCancelled);
}

TEST_CASE("call: being cancelled before it began ends it, too") {
  Strand strand;
  const auto call = MakeCall(strand, WhenCallerLeaves::kCancel);
  bool left = false;
  call->Start([&] { return WaitForever(strand.executor, left); }, [](const Status&) {});
  call->Cancel();
  strand.RunReady();
  CHECK(left);
}

TEST_CASE("call: a change goes on without its caller") {
  Strand strand;
  const auto call = MakeCall(strand, WhenCallerLeaves::kFinish);
  asio::steady_timer step(strand.executor, asio::steady_timer::time_point::max());
  bool cancelled = true;
  Status answer = absl::UnknownError("none");
  call->Start(
      [&]() -> Task<Status> {
        boost::system::error_code ignored;
        co_await step.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
        cancelled = co_await lifecycle::IsCancelled();
        co_return absl::OkStatus();
      },
      [&](Status status) { answer = std::move(status); });
  bool told = false;
  call->Cancel([&] { told = true; });
  strand.RunReady();
  CHECK(told);
  CHECK(answer.code() == StatusCode::kUnknown);
  step.cancel();
  strand.RunReady();
  CHECK(answer.ok());
  CHECK(!cancelled);
}

TEST_CASE("call: cancelled by the node itself means that it shuts down") {
  Strand strand;
  Status answer;
  MakeCall(strand, WhenCallerLeaves::kCancel)
      ->Start([]() -> Task<Status> { co_return CallerGone(); },
              [&](Status status) { answer = std::move(status); });
  strand.RunAll();
  CHECK(answer.code() == StatusCode::kUnavailable);
  CHECK(GetErrorDetail(answer)->reason == "SHUTTING_DOWN");
}

TEST_CASE("task group: waits for its children, and cancels the ones left") {
  Strand strand;
  bool left = false;
  bool done = false;
  strand.Spawn([&]() -> Task<void> {
    TaskGroup group(strand.executor);
    const auto waits = group.Spawn([&] { return WaitForever(strand.executor, left); });
    const auto ends = group.Spawn([]() -> Task<Status> { co_return NotFound("x"); });
    co_await group.WaitUntil([&] { return ends->ended; });
    CHECK(ends->status.code() == StatusCode::kNotFound);
    CHECK(!waits->ended);
    co_await group.Stop();
    CHECK(waits->ended);
    const auto late = group.Spawn([&] { return WaitForever(strand.executor, left); });
    co_await group.Stop();
    CHECK(late->ended);
    done = true;
  });
  strand.RunAll();
  CHECK(left);
  CHECK(done);
}

TEST_CASE("write gate: one at a time, none after the caller has gone") {
  Strand strand;
  WriteGate gate(strand.executor);
  std::vector<bool> entered;
  for (int i = 0; i < 3; ++i) {
    strand.Spawn([&]() -> Task<void> { entered.push_back(co_await gate.Enter()); });
  }
  strand.RunReady();
  CHECK(entered == std::vector<bool>{true});
  gate.Written(true);
  strand.RunReady();
  CHECK(entered == std::vector<bool>{true, true});
  bool settled = false;
  strand.Spawn([&]() -> Task<void> {
    co_await gate.Settle();
    settled = true;
  });
  gate.Break();
  strand.RunReady();
  CHECK(entered == std::vector<bool>{true, true, false});
  CHECK(!settled);
  gate.Written(false);
  strand.RunReady();
  CHECK(settled);
}

TEST_CASE("read gate: arrivals, the end, and closing") {
  Strand strand;
  ReadGate gate(strand.executor);
  std::vector<bool> got;
  const auto wait = [&] {
    strand.Spawn([&]() -> Task<void> { got.push_back(co_await gate.Wait()); });
    strand.RunReady();
  };
  CHECK(gate.MustStart());
  CHECK(!gate.MustStart());
  wait();
  CHECK(got.empty());
  gate.Arrived(true);
  strand.RunReady();
  CHECK(got == std::vector<bool>{true});
  CHECK(gate.MustStart());
  wait();
  gate.Close();
  strand.RunReady();
  CHECK(got == std::vector<bool>{true, false});
  gate.Arrived(false);
  CHECK(!gate.MustStart());
}

TEST_CASE("input: everything is written, however slowly it is read") {
  std::signal(SIGPIPE, SIG_IGN);
  Strand strand;
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
  const UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  const std::string data(1 << 20, 'x');
  bool written = false;
  strand.Spawn([&]() -> Task<void> {
    auto waiter = FdWaiter::Make(strand.executor, ours.get());
    auto read = co_await WriteAll(*waiter, ours.get(), data);
    written = read.ok() && *read;
  });
  size_t got = 0;
  while (got < data.size()) {
    strand.RunReady();
    char buffer[16 << 10];
    const ssize_t n = ::recv(theirs.get(), buffer, sizeof(buffer), 0);
    if (n <= 0) continue;
    CHECK(n <= 8 << 10);
    got += static_cast<size_t>(n);
  }
  strand.RunReady();
  CHECK(got == data.size());
  CHECK(written);

  theirs.reset();
  bool nobody_reads = false;
  strand.Spawn([&]() -> Task<void> {
    auto waiter = FdWaiter::Make(strand.executor, ours.get());
    auto read = co_await WriteAll(*waiter, ours.get(), "more");
    nobody_reads = read.ok() && !*read;
  });
  strand.RunAll();
  CHECK(nobody_reads);
}

TEST_CASE("descriptors: a wait can be stopped, before and while") {
  Strand strand;
  auto pipe = MakePipe();
  REQUIRE(pipe.ok());
  auto waiter = FdWaiter::Make(strand.executor, pipe->first.get());
  REQUIRE(waiter.ok());
  std::vector<bool> ready;
  const auto wait = [&] {
    strand.Spawn([&]() -> Task<void> { ready.push_back(co_await waiter->Readable()); });
    strand.RunReady();
  };
  REQUIRE(::write(pipe->second.get(), "x", 1) == 1);
  wait();
  CHECK(ready == std::vector<bool>{true});
  char byte = 0;
  REQUIRE(::read(pipe->first.get(), &byte, 1) == 1);
  wait();
  CHECK(ready.size() == 1);
  waiter->Stop();
  strand.RunReady();
  CHECK(ready == std::vector<bool>{true, false});
  wait();
  CHECK(ready == std::vector<bool>{true, false, false});
  CHECK(!FdWaiter::Make(strand.executor, -1).ok());
}

drivers::LogRecord Record(std::string data, int64_t micros = 0, bool is_stderr = false) {
  return {.time = FromMicros(micros), .is_stderr = is_stderr, .data = std::move(data)};
}

std::string TailOf(int64_t lines, const std::vector<std::string>& parts, size_t max_bytes = 1000) {
  LogTail tail(lines, max_bytes);
  for (const std::string& part : parts) tail.Add(Record(part));
  std::string all;
  for (const drivers::LogRecord& record : tail.Take()) all += record.data;
  return all;
}

TEST_CASE("log: the last lines") {
  CHECK(TailOf(2, {"a\n", "b\n", "c\n"}) == "b\nc\n");
  CHECK(TailOf(5, {"a\n", "b\n"}) == "a\nb\n");
  CHECK(TailOf(1, {"a\n", "b\n", "unfinished"}) == "unfinished");
  CHECK(TailOf(2, {"a\n", "b\n", "unfinished"}) == "b\nunfinished");
  CHECK(TailOf(1, {"a\n", "long ", "line\n"}) == "long line\n");
  CHECK(TailOf(1, {}).empty());
  CHECK(TailOf(100, {"aaaa\n", "bbbb\n", "cccc\n"}, 10) == "bbbb\ncccc\n");
}

TEST_CASE("log: what was written at once is one chunk") {
  const auto chunks = ToChunks({Record("a\n", 1), Record("b\n", 1), Record("e\n", 1, true),
                                Record("c\n", 1), Record("d\n", 2)});
  REQUIRE(chunks.size() == 4);
  CHECK(chunks[0].data() == "a\nb\n");
  CHECK(chunks[1].stream() == node::v1::LogChunk::STDERR);
  CHECK(chunks[3].time().nanos() == 2000);
  const auto large = ToChunks({Record(std::string(60'000, 'a')), Record(std::string(60'000, 'b'))});
  CHECK(large.size() == 2);
}

TEST_CASE("socket: a stale one is cleared away, a live one and a file are not") {
  const test::TempDir dir;
  const std::filesystem::path path = dir.path() / "sub" / "a.sock";
  REQUIRE(ClearSocketPath(path).ok());
  CHECK((std::filesystem::status(path.parent_path()).permissions() & std::filesystem::perms::all) ==
        static_cast<std::filesystem::perms>(0711));
  {
    asio::io_context context;
    asio::local::stream_protocol::acceptor acceptor(context, path.string());
    const Status live = ClearSocketPath(path);
    CHECK(live.code() == StatusCode::kFailedPrecondition);
    CHECK(std::filesystem::exists(path));
  }
  CHECK(ClearSocketPath(path).ok());
  CHECK(!std::filesystem::exists(path));
  std::ofstream(path) << "data";
  CHECK(ClearSocketPath(path).code() == StatusCode::kFailedPrecondition);
  CHECK(std::filesystem::exists(path));
  CHECK(ClearSocketPath("/tmp/" + std::string(200, 'a')).code() == StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace claw::rpc
