#include "drivers/guest/remote_io.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <mutex>
#include <optional>
#include <thread>

#include "drivers/guest/signal_pipe.h"

namespace claw::drivers {
namespace {

constexpr size_t kReadBytes = 64 << 10;

// What can be read, waited for; empty: the end, or `stop` is readable.
std::string ReadSome(int fd, int stop) {
  std::string data(kReadBytes, '\0');
  for (;;) {
    std::array<pollfd, 2> entries{{{fd, POLLIN, 0}, {stop, POLLIN, 0}}};
    if (::poll(entries.data(), stop < 0 ? 1 : 2, -1) < 0 && errno != EINTR) return "";
    if (stop >= 0 && entries[1].revents != 0) return "";
    if (entries[0].revents == 0) continue;
    const ssize_t got = ::read(fd, data.data(), data.size());
    if (got < 0 && errno == EINTR) continue;
    data.resize(got > 0 ? static_cast<size_t>(got) : 0);
    return data;
  }
}

// Until the other end has taken it all, or has gone.
void WriteAll(int fd, const std::string& data) {
  for (size_t done = 0; done < data.size();) {
    const ssize_t sent = ::send(fd, data.data() + done, data.size() - done, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return;
    done += static_cast<size_t>(sent);
  }
}

void SetSize(pb::TerminalSize* size, int rows, int columns) {
  size->set_rows(rows);
  size->set_columns(columns);
}

class RemoteExec final : public ExecSession {
 public:
  using Stream = grpc::ClientReaderWriter<pb::ExecRequest, pb::AttachResponse>;

  RemoteExec(GuestClientPtr client, SignalPipe ended, SignalPipe stop, bool tty)
      : client_(std::move(client)), ended_(std::move(ended)), stop_(std::move(stop)), tty_(tty) {}

  ~RemoteExec() override {
    context_.TryCancel();  // the guest kills what has lost its caller
    stop_.Set();
    in_.ours.reset();
    out_.ours.reset();
    err_.ours.reset();
    if (writer_.joinable()) writer_.join();
    if (reader_.joinable()) reader_.join();
  }

  Status Begin(const std::string& id, const ExecSpec& spec) {
    // With a terminal, in and out are one.
    ASSIGN_OR_RETURN(out_, SocketPair::Make());
    if (!spec.tty) {
      ASSIGN_OR_RETURN(err_, SocketPair::Make());
    }
    if (!spec.tty && spec.stdin_open) {
      ASSIGN_OR_RETURN(in_, SocketPair::Make());
    }
    stream_ = client_->sandboxes->ExecSandbox(&context_);
    pb::ExecRequest first;
    pb::ExecSpec* wanted = first.mutable_spec();
    wanted->set_name(StrCat("sandboxes/", id));
    wanted->mutable_command()->Assign(spec.argv.begin(), spec.argv.end());
    wanted->mutable_env()->Assign(spec.env.begin(), spec.env.end());
    wanted->set_working_directory(spec.working_directory);
    wanted->set_tty(spec.tty);
    wanted->set_stdin_open(spec.stdin_open);
    Send(first);
    const int input = spec.tty ? out_.theirs.get() : in_.theirs.get();
    if (spec.stdin_open || spec.tty) writer_ = std::thread([this, input] { PumpInput(input); });
    reader_ = std::thread([this] { PumpOutput(); });
    return absl::OkStatus();
  }

  int stdin_fd() const override { return tty_ ? out_.ours.get() : in_.ours.get(); }
  int stdout_fd() const override { return out_.ours.get(); }
  int stderr_fd() const override { return err_.ours.get(); }
  void CloseStdin() override {
    if (tty_) {
      ::shutdown(out_.ours.get(), SHUT_WR);
    } else {
      in_.ours.reset();
    }
  }
  Status Resize(int rows, int columns) override {
    if (!tty_) return FailedPrecondition("the program has no terminal");
    pb::ExecRequest request;
    SetSize(request.mutable_resize(), rows, columns);
    Send(request);
    return absl::OkStatus();
  }
  int exit_fd() const override { return ended_.fd(); }
  StatusOr<int> Wait() override {
    if (reader_.joinable()) reader_.join();
    return result_;
  }

 private:
  void Send(const pb::ExecRequest& request) {
    const std::lock_guard lock(send_mutex_);
    stream_->Write(request);  // broken: the reader learns why
  }

  void PumpInput(int fd) {
    for (;;) {
      const std::string data = ReadSome(fd, stop_.fd());
      pb::ExecRequest request;
      if (data.empty()) {
        request.set_close_stdin(true);
        Send(request);
        return;
      }
      request.set_stdin_data(data);
      Send(request);
    }
  }

  void PumpOutput() {
    pb::AttachResponse response;
    std::optional<int> exit_code;
    while (stream_->Read(&response)) {
      if (response.has_output()) {
        const bool is_err = response.output().stream() == pb::LogChunk::STDERR && !tty_;
        WriteAll(is_err ? err_.theirs.get() : out_.theirs.get(), response.output().data());
      }
      if (response.has_exit()) exit_code = response.exit().exit_code();
    }
    const Status status = FromGuest(stream_->Finish(), "run a program in a guest's sandbox");
    if (exit_code) {
      result_ = *exit_code;
    } else {
      result_ = status.ok() ? Internal("the guest did not say how the program ended") : status;
    }
    // Its outputs end here; the input's end is the writer's.
    for (const UniqueFd* end : {&out_.theirs, &err_.theirs}) {
      if (end->valid()) ::shutdown(end->get(), SHUT_WR);
    }
    stop_.Set();
    ended_.Set();
  }

  const GuestClientPtr client_;
  SignalPipe ended_;
  SignalPipe stop_;
  const bool tty_;
  SocketPair in_{};
  SocketPair out_{};
  SocketPair err_{};
  grpc::ClientContext context_;
  std::unique_ptr<Stream> stream_;
  std::mutex send_mutex_;
  StatusOr<int> result_ = Internal("the program has not ended");  // the reader's until it ends
  std::thread reader_;
  std::thread writer_;
};

// Tells one sandbox's program something, and nothing is heard of it.
template <typename Say>
Status SpeakTo(GuestClient& client, const std::string& id, Say say) {
  grpc::ClientContext context;
  const auto stream = client.sandboxes->AttachSandbox(&context);
  pb::AttachRequest first;
  first.set_name(StrCat("sandboxes/", id));
  first.set_input_only(true);
  say(*stream, first);
  stream->WritesDone();
  pb::AttachResponse ignored;
  while (stream->Read(&ignored)) {
  }
  return FromGuest(stream->Finish(), "speak to a guest's program");
}

}  // namespace

StatusOr<std::unique_ptr<ExecSession>> ExecRemotely(GuestClientPtr client, const std::string& id,
                                                    const ExecSpec& spec) {
  ASSIGN_OR_RETURN(SignalPipe ended, SignalPipe::Make());
  ASSIGN_OR_RETURN(SignalPipe stop, SignalPipe::Make());
  auto session =
      std::make_unique<RemoteExec>(std::move(client), std::move(ended), std::move(stop), spec.tty);
  RETURN_IF_ERROR(session->Begin(id, spec));
  return session;
}

StatusOr<UniqueFd> OpenRemoteInput(GuestClientPtr client, const std::string& id) {
  ASSIGN_OR_RETURN(SocketPair sockets, SocketPair::Make());
  // Ends when the other end does, which is the caller's; what it says meanwhile nobody waits for.
  std::thread([client = std::move(client), id, input = std::move(sockets.theirs)] {
    SpeakTo(*client, id, [&input](auto& stream, pb::AttachRequest& request) {
      bool open = stream.Write(request);
      while (open) {
        const std::string data = ReadSome(input.get(), -1);
        request.Clear();
        request.set_stdin_data(data);
        request.set_close_stdin(data.empty());
        open = stream.Write(request) && !data.empty();
      }
    }).IgnoreError();
  }).detach();
  return std::move(sockets.ours);
}

Status ResizeRemoteTerminal(GuestClientPtr client, const std::string& id, int rows, int columns) {
  return SpeakTo(*client, id, [&](auto& stream, pb::AttachRequest& request) {
    SetSize(request.mutable_resize(), rows, columns);
    stream.Write(request);
  });
}

}  // namespace claw::drivers
