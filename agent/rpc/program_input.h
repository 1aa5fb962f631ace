#pragma once

#include <string>

#include "agent/rpc/context.h"
#include "agent/rpc/fd_waiter.h"
#include "agent/rpc/names.h"
#include "agent/rpc/streams.h"
#include "agent/rpc/task_group.h"
#include "claw/node/v1/sandbox.pb.h"

namespace claw::rpc {

// Where a caller's messages to a program go. On the strand only.
class ProgramInput {
 public:
  virtual ~ProgramInput() = default;
  virtual Task<Status> Write(std::string data) = 0;
  virtual Task<Status> Close() = 0;
  virtual Task<Status> Resize(int rows, int columns) = 0;
};

constexpr size_t kMaxInputBytes = 1 << 20;

Status CheckTerminalSize(const node::v1::TerminalSize& size);

// AttachRequest and ExecRequest have these fields in common.
template <typename Request>
Task<Status> HandleInput(ProgramInput& input, const Request& request) {
  if (request.stdin_data().size() > kMaxInputBytes) {
    co_return BadField("stdin_data", StrCat("is longer than ", kMaxInputBytes, " bytes"));
  }
  if (request.has_resize()) {
    CO_RETURN_IF_ERROR(CheckTerminalSize(request.resize()));
    const Status resized =
        co_await input.Resize(request.resize().rows(), request.resize().columns());
    if (!resized.ok()) co_return resized;
  }
  if (!request.stdin_data().empty()) {
    const Status written = co_await input.Write(request.stdin_data());
    if (!written.ok()) co_return written;
  }
  if (request.close_stdin()) co_return co_await input.Close();
  co_return absl::OkStatus();
}

// Handles `first` and what follows it, one message after the other, until the caller has said all.
template <typename Request>
Task<Status> PumpInput(Source<Request>& source, ProgramInput& input, Request first) {
  std::optional<Request> request = std::move(first);
  while (request) {
    const Status handled = co_await HandleInput(input, *request);
    if (!handled.ok()) co_return handled;
    request = co_await source.Read();
  }
  co_return absl::OkStatus();
}

// Writes everything, in pieces of at most 8 KiB, which is as much as conmon takes at once. Waits
// while the other end does not read. False: the other end does not read any more. CANCELLED.
Task<StatusOr<bool>> WriteAll(FdWaiter& waiter, int fd, std::string data);

// The standard input of a sandbox's program. Opened when there is something to say: the supervisor
// takes the end of a connection for the end of the input.
class SandboxInput final : public ProgramInput {
 public:
  SandboxInput(const Context& context, std::string id, TaskGroup& group);
  Task<Status> Write(std::string data) override;
  Task<Status> Close() override;
  Task<Status> Resize(int rows, int columns) override;

 private:
  Task<Status> Open();
  Task<Status> Discard();

  const Context& context_;
  const std::string id_;
  TaskGroup& group_;
  UniqueFd fd_;
  std::optional<FdWaiter> waiter_;
  bool closed_ = false;
};

}  // namespace claw::rpc
