#include "drivers/fake/fake_exec.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <condition_variable>
#include <csignal>
#include <cstdlib>

namespace claw::drivers {
namespace {

// What the program's end and the session share.
struct Ending {
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<int> code;
  UniqueFd bell;
};

class FakeExecSession final : public ExecSession {
 public:
  struct Ends {
    UniqueFd in, out, err, exit;  // with a terminal only `out`
  };

  FakeExecSession(std::shared_ptr<FakeProcess> process, std::shared_ptr<Ending> ending, Ends ends,
                  bool stdin_open)
      : process_(std::move(process)),
        ending_(std::move(ending)),
        ends_(std::move(ends)),
        tty_input_(process_->tty() && stdin_open) {}
  ~FakeExecSession() override { process_->End(128 + SIGKILL); }

  int stdin_fd() const override { return tty_input_ ? ends_.out.get() : ends_.in.get(); }
  int stdout_fd() const override { return ends_.out.get(); }
  int stderr_fd() const override { return ends_.err.get(); }

  void CloseStdin() override {
    if (tty_input_) ::shutdown(ends_.out.get(), SHUT_WR);
    tty_input_ = false;
    ends_.in.reset();
  }

  Status Resize(int, int) override {
    if (process_->tty()) return absl::OkStatus();
    return FailedPrecondition("the program has no terminal");
  }

  int exit_fd() const override { return ends_.exit.get(); }

  StatusOr<int> Wait() override {
    std::unique_lock lock(ending_->mutex);
    ending_->changed.wait(lock, [this] { return ending_->code.has_value(); });
    return *ending_->code;
  }

 private:
  std::shared_ptr<FakeProcess> process_;
  std::shared_ptr<Ending> ending_;
  Ends ends_;
  bool tty_input_;
};

}  // namespace

StatusOr<std::unique_ptr<ExecSession>> StartFakeExec(FakeBox& box, const ExecSpec& spec,
                                                     const Program& program,
                                                     const std::shared_ptr<FakeIo>& io) {
  FakeExecSession::Ends ends;
  auto ending = std::make_shared<Ending>();
  std::tie(ends.exit, ending->bell) = MakeBell();
  UniqueFd input;
  UniqueFd output;
  std::tie(ends.out, output) = MakeSocketPair();
  uint64_t err_writer = 0;
  if (spec.tty) {
    input = UniqueFd(::fcntl(output.get(), F_DUPFD_CLOEXEC, 0));
    if (!input.valid()) std::abort();
  } else {
    UniqueFd error;
    std::tie(ends.err, error) = MakeSocketPair();
    err_writer = io->AddWriter(std::move(error));
    if (spec.stdin_open) std::tie(ends.in, input) = MakeSocketPair();
  }
  const uint64_t out_writer = io->AddWriter(std::move(output));
  if (spec.tty) err_writer = out_writer;

  std::vector<std::string> env = box.spec().env;
  env.insert(env.end(), spec.env.begin(), spec.env.end());
  const std::weak_ptr<FakeIo> weak_io = io;
  auto process = std::make_shared<FakeProcess>(
      FakeProcess::Start{.argv = spec.argv, .env = std::move(env), .tty = spec.tty},
      FakeProcess::Sinks{
          .write =
              [weak_io, out_writer, err_writer](bool is_stderr, std::string_view text) {
                if (const auto out = weak_io.lock()) {
                  out->Write(is_stderr ? err_writer : out_writer, text);
                }
              },
          .ended =
              [weak_io, out_writer, err_writer, ending](std::optional<int> code) {
                if (const auto out = weak_io.lock()) {
                  out->CloseWriter(out_writer);
                  out->CloseWriter(err_writer);
                }
                const std::lock_guard lock(ending->mutex);
                ending->code = code.value_or(128 + SIGKILL);
                ending->changed.notify_all();
                [[maybe_unused]] const ssize_t ignored = ::write(ending->bell.get(), "", 1);
              }});
  if (input.valid()) {
    io->AddReader(std::move(input), [weak = std::weak_ptr(process)](std::string_view data) {
      if (const auto reader = weak.lock()) reader->Input(data);
    });
  }
  auto session =
      std::make_unique<FakeExecSession>(process, ending, std::move(ends), spec.stdin_open);
  RETURN_IF_ERROR(box.Adopt(process));
  RETURN_IF_ERROR(program(process));
  return session;
}

}  // namespace claw::drivers
