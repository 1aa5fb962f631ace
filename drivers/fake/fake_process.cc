#include "drivers/fake/fake_process.h"

#include <csignal>
#include <utility>

namespace claw::drivers {

int FakeProcess::Refused(std::string_view call) const {
  for (const RefusedCall& refused : start_.refused_calls) {
    if (refused.name == call) return refused.error_number;
  }
  return 0;
}

std::string FakeProcess::Env(std::string_view name) const {
  // The last entry wins, as the runtimes have it.
  std::string value;
  for (const std::string& entry : start_.env) {
    if (entry.starts_with(StrCat(name, "="))) value = entry.substr(name.size() + 1);
  }
  return value;
}

void FakeProcess::OnSignal(std::function<void(int)> handler) {
  const std::lock_guard lock(mutex_);
  if (!ended_) on_signal_ = std::move(handler);
}

void FakeProcess::OnInput(std::function<void(std::string_view)> handler) {
  std::vector<std::string> early;
  {
    const std::lock_guard lock(mutex_);
    if (ended_) return;
    on_input_ = handler;
    early.swap(early_input_);
  }
  for (const std::string& data : early) handler(data);
}

void FakeProcess::Signal(int signal) {
  std::function<void(int)> handler;
  {
    const std::lock_guard lock(mutex_);
    if (signal != SIGKILL) handler = on_signal_;
  }
  if (handler) {
    handler(signal);
  } else {
    End(128 + signal);
  }
}

void FakeProcess::Input(std::string_view data) {
  std::function<void(std::string_view)> handler;
  {
    const std::lock_guard lock(mutex_);
    if (ended_) return;
    handler = on_input_;
    if (!handler) early_input_.emplace_back(data);
  }
  if (handler) handler(data);
}

void FakeProcess::Print(bool is_stderr, std::string_view text) {
  if (!ended()) sinks_.write(is_stderr, text);
}

void FakeProcess::End(std::optional<int> code) {
  // Destroyed after the lock is given back: they may hold the last reference to this process.
  std::function<void(int)> on_signal;
  std::function<void(std::string_view)> on_input;
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(ended_, true)) return;
    on_signal.swap(on_signal_);
    on_input.swap(on_input_);
  }
  sinks_.ended(code);
}

bool FakeProcess::ended() const {
  const std::lock_guard lock(mutex_);
  return ended_;
}

Status CommandNotFound(std::string_view command) {
  return MakeError(StatusCode::kInvalidArgument, StrCat("there is no program '", command, "'"),
                   {.reason = "COMMAND_NOT_FOUND", .constraint = "command"});
}

}  // namespace claw::drivers
