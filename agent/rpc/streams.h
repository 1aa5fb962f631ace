#pragma once

#include <optional>

#include "agent/base/status.h"
#include "agent/lifecycle/async.h"
#include "agent/rpc/gates.h"

namespace claw::rpc {

using lifecycle::Task;

// What a call ends with when there is nobody left to answer.
inline Status CallerGone() { return MakeError(StatusCode::kCancelled, "the caller is gone"); }

// The two ends of a stream as the services see them; no gRPC. On the strand only.

template <typename Message>
class Sink {
 public:
  virtual ~Sink() = default;
  // Waits until the message before it is out, so that a slow reader holds its writer up. False: the
  // reader is gone. (Not virtual itself: GCC 12 loses the parameters of a coroutine that is called
  // through a base that is not the first.)
  Task<bool> Write(Message message) {
    const bool open = co_await gate().Enter();
    if (open) Send(std::move(message));
    co_return open;
  }

 private:
  virtual WriteGate& gate() = 0;
  virtual void Send(Message message) = 0;
};

template <typename Message>
class Source {
 public:
  virtual ~Source() = default;
  // One caller at a time. Nothing: the other end has said all, or is gone, or StopReading was
  // called. (Not virtual, as Sink::Write.)
  Task<std::optional<Message>> Read() {
    if (reads().MustStart()) Receive();
    const bool arrived = co_await reads().Wait();
    std::optional<Message> message;
    if (arrived) message.emplace(std::move(incoming()));
    co_return message;
  }
  void StopReading() { reads().Close(); }

 private:
  virtual ReadGate& reads() = 0;
  virtual void Receive() = 0;  // starts to read into incoming()
  virtual Message& incoming() = 0;
};

}  // namespace claw::rpc
