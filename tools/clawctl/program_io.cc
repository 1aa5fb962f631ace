#include "tools/clawctl/program_io.h"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>

#include "agent/base/bytes.h"
#include "agent/base/joining_thread.h"
#include "tools/clawctl/error.h"

namespace claw::ctl {
namespace {

constexpr size_t kInputChunk = 64 * 1024;

// Sends our input and the window's size. Lives in a thread of its own, because a send blocks while
// the program does not read, and signals have to come through even then.
class Sender {
 public:
  Sender(const Context& context, ProgramStream& stream, const ProgramIo& io)
      : context_(context), stream_(stream), tty_(io.tty), input_open_(io.forward_input) {}

  void Run() {
    if (tty_ && !SendSize()) return;
    while (!stopping_) {
      std::array<pollfd, 2> fds = {
          {{wakeup_.fd(), POLLIN, 0}, {input_open_ ? context_.io().in : -1, POLLIN, 0}}};
      if (::poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) return;
      if (fds[0].revents != 0) {
        wakeup_.Clear();
        if (!stopping_ && tty_ && !SendSize()) return;
      }
      if (fds[1].revents != 0 && !stopping_ && !SendInput()) return;
    }
  }

  // From any thread.
  void Resized() { wakeup_.Set(); }
  void Stop() {
    stopping_ = true;
    wakeup_.Set();
  }

 private:
  bool SendSize() {
    const auto size = TerminalSizeOf(context_.io().out);
    return !size || stream_.Resize(*size);
  }

  bool SendInput() {
    std::string data(kInputChunk, '\0');
    const ssize_t n = ::read(context_.io().in, data.data(), data.size());
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return true;
    if (n <= 0) {
      input_open_ = false;
      return stream_.CloseInput();
    }
    data.resize(static_cast<size_t>(n));
    return stream_.SendInput(std::move(data));
  }

  const Context& context_;
  ProgramStream& stream_;
  const bool tty_;
  bool input_open_;
  std::atomic<bool> stopping_ = false;
  Wakeup wakeup_;
};

// Copies output until the stream ends.
std::optional<pb::ExitStatus> Receive(const Context& context, ProgramStream& stream) {
  std::optional<pb::ExitStatus> exit;
  pb::AttachResponse response;
  while (stream.Read(&response)) {
    if (response.has_output()) {
      const bool is_error = response.output().stream() == pb::LogChunk::STDERR;
      is_error ? context.Err(response.output().data()) : context.Out(response.output().data());
    }
    if (response.has_exit()) exit = response.exit();
  }
  return exit;
}

void HandleSignals(SignalReader& signals, Sender& sender, const ProgramIo& io) {
  while (const int signal = signals.Next()) {
    if (signal == SIGWINCH) {
      sender.Resized();
    } else {
      io.on_signal(signal);
    }
  }
}

}  // namespace

StatusOr<SignalReader> ProgramSignals() {
  return SignalReader::Make({SIGINT, SIGTERM, SIGHUP, SIGWINCH});
}

ProgramEnd Connect(Context& context, ProgramStream& stream, SignalReader& signals,
                   const ProgramIo& io) {
  // Without -i the terminal keeps its own meaning of Ctrl-C.
  RawMode raw(io.tty && io.forward_input ? context.io().in : -1);
  ProgramEnd end;
  Wakeup done;
  Sender sender(context, stream, io);
  JoiningThread receiving([&] {
    end.exit = Receive(context, stream);
    done.Set();
  });
  std::optional<JoiningThread> sending;
  if (io.tty || io.forward_input) sending.emplace([&sender] { sender.Run(); });

  for (;;) {
    std::array<pollfd, 2> fds = {{{done.fd(), POLLIN, 0}, {signals.fd(), POLLIN, 0}}};
    if (::poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) break;
    if (fds[0].revents != 0) break;
    if (fds[1].revents != 0) HandleSignals(signals, sender, io);
  }
  receiving.join();
  sender.Stop();
  sending.reset();
  end.status = stream.Finish();
  return end;
}

int ReportEnd(const Context& context, std::string_view name, const ProgramEnd& end) {
  if (!end.exit) {
    const Status status =
        end.status.ok() ? Internal("the connection to ", name, " ended before its program did")
                        : end.status;
    (void)context.Report(status);
    return kExitNotRun;
  }
  const pb::ExitStatus& exit = *end.exit;
  if (exit.reason() == pb::END_REASON_OOM_KILLED) {
    context.Notice(
        StrCat(name, " was killed at its memory limit",
               exit.memory_peak_bytes() > 0
                   ? StrCat(" (its peak was ", FormatBytes(exit.memory_peak_bytes()), ")")
                   : "",
               "; give it more with --memory"));
  } else if (exit.reason() == pb::END_REASON_PROOF_FAILED) {
    context.Notice(StrCat(name, " was killed: its runtime was not the one promised"));
  } else if (exit.reason() == pb::END_REASON_HOST_RESTART) {
    context.Notice(StrCat(name, " ended with a restart of the host"));
  }
  return exit.exit_code();
}

}  // namespace claw::ctl
