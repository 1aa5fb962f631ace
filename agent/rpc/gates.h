#pragma once

#include <memory>

#include "agent/lifecycle/async.h"

namespace claw::rpc {

namespace asio = boost::asio;
using lifecycle::Task;

// Lets one write at a time out to a stream. On the strand only.
class WriteGate {
 public:
  explicit WriteGate(const asio::any_io_executor& strand) : changed_(strand) {}

  // Waits until the write before is out, then counts the next as on its way. False: the caller is
  // gone and nothing may be written.
  Task<bool> Enter();
  void Written(bool ok);
  // The caller is gone.
  void Break();
  // Until nothing is on its way.
  Task<void> Settle();

 private:
  lifecycle::Notifier changed_;
  bool in_flight_ = false;
  bool broken_ = false;
};

// Waits for the one read that a stream may have under way. On the strand only.
class ReadGate {
 public:
  explicit ReadGate(const asio::any_io_executor& strand) : changed_(strand) {}

  // Whether the caller of Wait has to start a read before: none is under way.
  bool MustStart();
  // True when a message has come; false when none will come any more, or Close was called.
  Task<bool> Wait();
  void Arrived(bool ok);
  // Ends the wait for good, whatever is under way.
  void Close();

 private:
  lifecycle::Notifier changed_;
  bool pending_ = false;
  bool ok_ = true;
  bool closed_ = false;
};

}  // namespace claw::rpc
