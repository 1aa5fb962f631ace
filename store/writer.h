#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "agent/base/status.h"
#include "store/connection.h"
#include "store/store.h"

namespace claw::store {

// The writer thread with the one connection that writes, and the group commit. Write is
// thread-safe. See Store::Write for what a caller may count on.
class Writer {
 public:
  using Body = std::function<Status(Transaction&)>;
  using Done = std::function<void(Status)>;

  Writer(std::unique_ptr<Connection> connection, size_t max_queued);
  // Runs what is queued, also what its `done`s queue, then closes the connection.
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  void Write(Body body, Done done);
  [[nodiscard]] Store::Counters counters() const;

 private:
  struct Item {
    Body body{};
    Done done{};
    Status status{};
  };

  void Run();
  void RunGroup(std::vector<Item>& group);
  size_t RunTransaction(std::vector<Item>& group, size_t first);
  Status RunBody(const Body& body);
  Status Commit();
  void Finish(std::vector<Item>& group, size_t first, size_t end, const Status& committed);

  const std::unique_ptr<Connection> connection_;
  const std::unique_ptr<Transaction> transaction_;
  const size_t max_queued_;

  mutable std::mutex mutex_{};
  std::condition_variable wake_{};
  std::vector<Item> queue_{};   // guarded by mutex_
  Store::Counters counters_{};  // guarded by mutex_
  bool stopping_ = false;       // guarded by mutex_
  std::thread thread_{};        // last: it uses everything above
};

}  // namespace claw::store
