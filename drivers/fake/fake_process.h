#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/status.h"
#include "agent/model/syscalls.h"

namespace claw::drivers {

// A program in a fake sandbox, or one that Exec started there. A Program may keep it and use it
// later, from any thread; its handlers are called from any thread, without a lock held. Once it has
// ended every call does nothing and the handlers are gone.
class FakeProcess {
 public:
  struct Start {
    std::vector<std::string> argv{};
    std::vector<std::string> env{};
    bool tty = false;
    std::string driver{};                      // the name of the one that runs it
    std::vector<RefusedCall> refused_calls{};  // of its sandbox
  };
  // Where its output and its end go.
  struct Sinks {
    std::function<void(bool is_stderr, std::string_view data)> write{};
    std::function<void(std::optional<int> code)> ended{};
  };

  FakeProcess(Start start, Sinks sinks) : start_(std::move(start)), sinks_(std::move(sinks)) {}

  const std::vector<std::string>& argv() const { return start_.argv; }
  const std::vector<std::string>& env() const { return start_.env; }
  bool tty() const { return start_.tty; }
  const std::string& driver() const { return start_.driver; }
  // The errno that a system call of its sandbox is to fail with; 0: it works.
  int Refused(std::string_view call) const;
  // The value of an environment variable; empty if there is none.
  std::string Env(std::string_view name) const;

  void Write(std::string_view text) { Print(false, text); }
  void WriteError(std::string_view text) { Print(true, text); }
  void Exit(int code) { End(code); }
  // Catches every signal but SIGKILL. Without a handler a signal ends the program with 128 + it.
  void OnSignal(std::function<void(int signal)> handler);
  // Gets what comes to its standard input, also what has come before; "" is the end.
  void OnInput(std::function<void(std::string_view data)> handler);

  // For the driver.
  void Signal(int signal);
  void Input(std::string_view data);
  // Absent: it is over and nobody saw how.
  void End(std::optional<int> code);
  bool ended() const;

 private:
  void Print(bool is_stderr, std::string_view text);

  const Start start_;
  const Sinks sinks_;
  mutable std::mutex mutex_;
  bool ended_ = false;
  std::function<void(int)> on_signal_;
  std::function<void(std::string_view)> on_input_;
  std::vector<std::string> early_input_;
};

// What the fake machine does with a command line: sets handlers, writes, perhaps exits, and
// returns; the program goes on until it exits or is killed. An error is what Start or Exec answers.
using Program = std::function<Status(const std::shared_ptr<FakeProcess>& process)>;

// What a Program answers if there is no such command.
Status CommandNotFound(std::string_view command);

}  // namespace claw::drivers
