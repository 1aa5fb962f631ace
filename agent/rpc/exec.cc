#include <unistd.h>

#include <array>
#include <cerrno>

#include "agent/rpc/attach.h"
#include "agent/rpc/convert.h"
#include "agent/rpc/program_input.h"
#include "agent/rpc/task_group.h"

namespace claw::rpc {
namespace {

using Response = pb::AttachResponse;

constexpr size_t kReadBytes = 32 << 10;
// Programs that the one which has ended left behind may hold its outputs open, and write for ever.
// So what comes after its end is read until the outputs are closed, or quiet for so long, or so
// much: more than pipes hold.
constexpr size_t kMaxBytesAfterEnd = 4 << 20;
constexpr auto kQuiet = std::chrono::milliseconds(200);

class ExecInput final : public ProgramInput {
 public:
  ExecInput(const Context& context, drivers::ExecSession& session)
      : context_(context), session_(session) {}

  Task<Status> Write(std::string data) override {
    if (session_.stdin_fd() < 0) {
      co_return BadField("stdin_data", "came for a program without (or after the end of) input");
    }
    if (nobody_reads_) co_return absl::OkStatus();
    if (!waiter_) {
      auto waiter = FdWaiter::Make(context_.strand, session_.stdin_fd());
      if (!waiter.ok()) co_return waiter.status();
      waiter_.emplace(*std::move(waiter));
    }
    auto read = co_await WriteAll(*waiter_, session_.stdin_fd(), std::move(data));
    if (read.ok()) nobody_reads_ = !*read;
    co_return read.status();
  }

  Task<Status> Close() override {
    waiter_.reset();  // its duplicate would keep the input open
    if (session_.stdin_fd() >= 0) session_.CloseStdin();
    co_return absl::OkStatus();
  }

  Task<Status> Resize(int rows, int columns) override { co_return session_.Resize(rows, columns); }

 private:
  const Context& context_;
  drivers::ExecSession& session_;
  std::optional<FdWaiter> waiter_;
  bool nobody_reads_ = false;
};

// One program's outputs and its end.
class ExecOutput {
 public:
  ExecOutput(const Context& context, drivers::ExecSession& session, Sink<Response>& sink)
      : context_(context), session_(session), sink_(sink) {}

  // Until the program has ended and what it wrote has been sent.
  Task<Status> Run() {
    TaskGroup group(context_.strand);
    Status status = Watch();
    if (!status.ok()) co_return status;
    const auto out = Pump(group, out_, session_.stdout_fd(), pb::LogChunk::STDOUT);
    const auto err = Pump(group, err_, session_.stderr_fd(), pb::LogChunk::STDERR);
    const bool ended = co_await exit_->Readable();
    ended_ = true;
    if (ended) {
      group.Spawn([this] { return StopWaitingWhenQuiet(); });
    } else {
      StopWaiting();
    }
    auto done = [&] { return out->ended && err->ended; };
    co_await group.WaitUntil(std::move(done));
    co_await group.Stop();
    if (!ended) co_return CallerGone();
    co_return out->status.ok() ? err->status : out->status;
  }

 private:
  Status Watch() {
    ASSIGN_OR_RETURN(FdWaiter exit, FdWaiter::Make(context_.strand, session_.exit_fd()));
    exit_.emplace(std::move(exit));
    for (auto [waiter, fd] :
         {std::pair(&out_, session_.stdout_fd()), std::pair(&err_, session_.stderr_fd())}) {
      if (fd < 0) continue;
      ASSIGN_OR_RETURN(FdWaiter made, FdWaiter::Make(context_.strand, fd));
      waiter->emplace(std::move(made));
    }
    return absl::OkStatus();
  }

  void StopWaiting() {
    drained_is_over_ = true;
    for (std::optional<FdWaiter>* waiter : {&out_, &err_}) {
      if (*waiter) (*waiter)->Stop();
    }
  }

  Task<Status> StopWaitingWhenQuiet() {
    int64_t seen = -1;
    while (seen != reads_ || sending_ > 0) {
      seen = reads_;
      asio::steady_timer timer(context_.strand, kQuiet);
      boost::system::error_code error;
      co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, error));
      if (error) break;  // the pumps have ended
    }
    StopWaiting();
    co_return absl::OkStatus();
  }

  std::shared_ptr<const TaskGroup::Child> Pump(TaskGroup& group, std::optional<FdWaiter>& waiter,
                                               int fd, pb::LogChunk::Stream stream) {
    return group.Spawn([this, &waiter, fd, stream] { return Copy(waiter, fd, stream); });
  }

  Task<Status> Copy(std::optional<FdWaiter>& waiter, int fd, pb::LogChunk::Stream stream) {
    if (!waiter) co_return absl::OkStatus();
    std::array<char, kReadBytes> buffer;
    size_t after_end = 0;
    while (after_end < kMaxBytesAfterEnd) {
      const ssize_t got = ::read(fd, buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && errno == EAGAIN && !drained_is_over_) {
        const bool ready = co_await waiter->Readable();
        if (!ready && !drained_is_over_) co_return CallerGone();
        continue;
      }
      // EIO is a terminal's way to say that nobody has its other end any more.
      if (got == 0 || (got < 0 && (errno == EAGAIN || errno == EIO))) break;
      if (got < 0) co_return ErrnoError(errno, "read what the program writes");
      const auto size = static_cast<size_t>(got);
      if (ended_) after_end += size;
      ++reads_;
      ++sending_;
      std::string data(buffer.data(), size);
      const bool taken = co_await Send(stream, std::move(data));
      --sending_;
      if (!taken) co_return CallerGone();
    }
    co_return absl::OkStatus();
  }

  Task<bool> Send(pb::LogChunk::Stream stream, std::string data) {
    Response response;
    pb::LogChunk* chunk = response.mutable_output();
    chunk->set_stream(stream);
    chunk->set_data(std::move(data));
    SetTime(context_.clock.Now(), chunk->mutable_time());
    co_return co_await sink_.Write(std::move(response));
  }

  const Context& context_;
  drivers::ExecSession& session_;
  Sink<Response>& sink_;
  std::optional<FdWaiter> exit_;
  std::optional<FdWaiter> out_;
  std::optional<FdWaiter> err_;
  int64_t reads_ = 0;
  int sending_ = 0;  // pumps that wait for the caller
  bool ended_ = false;
  bool drained_is_over_ = false;  // nothing to read means that all has been read
};

Task<Status> PumpExecInput(Source<pb::ExecRequest>& source, ExecInput& input,
                           pb::ExecRequest first) {
  const Status status = co_await PumpInput(source, input, std::move(first));
  if (!status.ok()) co_return status;
  co_return co_await input.Close();  // who says nothing more means the end of the input
}

Task<Status> RunSession(const Context& context, drivers::ExecSession& session,
                        Source<pb::ExecRequest>& source, Sink<Response>& sink,
                        pb::ExecRequest first) {
  TaskGroup group(context.strand);
  ExecInput input(context, session);
  ExecOutput output(context, session, sink);
  const auto writing = group.Spawn([&] { return output.Run(); });
  const auto reading = group.Spawn([&] { return PumpExecInput(source, input, std::move(first)); });
  auto done = [&] { return writing->ended || (reading->ended && !reading->status.ok()); };
  co_await group.WaitUntil(std::move(done));
  source.StopReading();
  const bool over = writing->ended;
  const Status status = over ? writing->status : reading->status;
  co_await group.Stop();
  if (!status.ok()) co_return status;
  if (!over) co_return CallerGone();

  CO_ASSIGN_OR_RETURN(const int exit_code, session.Wait());
  Response last;
  *last.mutable_exit() = ToProto(ExitInfo{.exit_code = exit_code,
                                          .reason = EndReason::kExited,
                                          .memory_peak_bytes = 0,
                                          .exited_at = context.clock.Now()});
  co_await sink.Write(std::move(last));
  co_return absl::OkStatus();
}

}  // namespace

Task<Status> ExecSandbox(const Context& context, Source<pb::ExecRequest>& source,
                         Sink<Response>& sink) {
  std::optional<pb::ExecRequest> first = co_await source.Read();
  if (!first || !first->has_spec()) {
    co_return InvalidArgument("the first message has to say what to run, and where");
  }
  CO_ASSIGN_OR_RETURN(const std::string name, ParseSandboxName("spec.name", first->spec().name()));
  CO_ASSIGN_OR_RETURN(const drivers::ExecSpec spec, FromProto(first->spec()));
  auto opened = co_await context.node.Exec(name, spec);
  if (!opened.ok()) co_return opened.status();

  std::shared_ptr<drivers::ExecSession> session = *std::move(opened);
  const Status status = co_await RunSession(context, *session, source, sink, *std::move(first));
  // The last reference goes on the pool: to end a program that still runs takes time.
  auto close = [held = std::move(session)]() mutable {
    held.reset();
    return absl::OkStatus();
  };
  const Status closed = co_await context.pool.Run(std::move(close));
  closed.IgnoreError();
  co_return status;
}

}  // namespace claw::rpc
