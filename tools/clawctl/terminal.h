#pragma once

#include <termios.h>

#include <csignal>
#include <initializer_list>
#include <optional>

#include "agent/base/status.h"
#include "agent/base/unique_fd.h"
#include "claw/node/v1/sandbox.pb.h"

namespace claw::ctl {

// Puts a terminal into raw mode for as long as this lives: every key goes to the program.
class RawMode {
 public:
  // Does nothing if `fd` is no terminal.
  explicit RawMode(int fd);
  ~RawMode() { Restore(); }
  RawMode(const RawMode&) = delete;
  RawMode& operator=(const RawMode&) = delete;

  void Restore();

 private:
  int fd_;
  std::optional<termios> saved_;
};

// The window's size; absent if `fd` is no terminal.
std::optional<claw::node::v1::TerminalSize> TerminalSizeOf(int fd);

// Receives signals through a descriptor. Blocks them for this thread, and so for threads that it
// starts from now on: make one before the first call to the agent. Puts the mask back at the end.
// linux/ and darwin/ each have one.
class SignalReader {
 public:
  static StatusOr<SignalReader> Make(std::initializer_list<int> signals);
  SignalReader(SignalReader&& other) noexcept = default;
  SignalReader& operator=(SignalReader&&) = delete;
  ~SignalReader();

  // Readable while a signal is pending.
  [[nodiscard]] int fd() const { return fd_.get(); }
  // The next pending signal, or 0.
  int Next();

 private:
  SignalReader(UniqueFd fd, const sigset_t& old_mask) : fd_(std::move(fd)), old_mask_(old_mask) {}

  UniqueFd fd_;
  sigset_t old_mask_;
};

// A descriptor that is readable once Set has been called. Both calls are thread-safe.
class Wakeup {
 public:
  Wakeup();
  [[nodiscard]] int fd() const { return fd_.get(); }
  void Set();
  void Clear();

 private:
  UniqueFd fd_;
  UniqueFd set_fd_;
};

}  // namespace claw::ctl
