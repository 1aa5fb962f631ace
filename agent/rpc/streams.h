#pragma once

#include <optional>

#include "agent/base/status.h"
#include "agent/lifecycle/async.h"

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
  // reader is gone.
  virtual Task<bool> Write(Message message) = 0;
};

template <typename Message>
class Source {
 public:
  virtual ~Source() = default;
  // One caller at a time. Nothing: the other end has said all, or is gone, or StopReading was
  // called.
  virtual Task<std::optional<Message>> Read() = 0;
  virtual void StopReading() = 0;
};

}  // namespace claw::rpc
