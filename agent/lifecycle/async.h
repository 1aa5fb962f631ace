#pragma once

// The little that coroutines need here beyond Asio. Everything but BlockingPool is for the agent's
// strand only.

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <utility>

#include "agent/base/status.h"

namespace claw::lifecycle {

namespace asio = boost::asio;

template <typename T>
using Task = asio::awaitable<T>;

// Threads for calls that block. Bounded: at most `threads` at once and `max_queued` waiting.
class BlockingPool {
 public:
  BlockingPool(size_t threads, size_t max_queued) : pool_(threads), max_queued_(max_queued) {}
  ~BlockingPool() { pool_.join(); }

  // Runs `work` on a thread of the pool and resumes on the caller's executor. UNAVAILABLE when the
  // queue is full.
  template <typename Work>
  auto Run(Work work) -> Task<decltype(work())> {
    using Result = decltype(work());
    if (queued_.fetch_add(1) >= max_queued_) {
      queued_.fetch_sub(1);
      co_return Result(Unavailable("the node has too much to do"));
    }
    auto executor = co_await asio::this_coro::executor;
    // Named, not written in the co_await: see "A trap" in this folder's README.
    auto initiate = [this, executor](auto handler, auto task) {
      asio::post(pool_, [this, executor, handler = std::move(handler),
                         task = std::move(task)]() mutable {
        Result result = task();
        queued_.fetch_sub(1);
        asio::post(executor, [handler = std::move(handler), result = std::move(result)]() mutable {
          std::move(handler)(std::move(result));
        });
      });
    };
    co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(Result)>(
        std::move(initiate), asio::use_awaitable, std::move(work));
  }

  void Join() { pool_.join(); }

 private:
  asio::thread_pool pool_;
  const size_t max_queued_;
  std::atomic<size_t> queued_{0};
};

// Wakes those who wait for something to change. They look again and wait again.
class Notifier {
 public:
  explicit Notifier(const asio::any_io_executor& executor)
      : timer_(executor, asio::steady_timer::time_point::max()) {}

  void NotifyAll() { timer_.cancel(); }

  // Resumes after the next NotifyAll, or when the awaiting coroutine is cancelled: look at its
  // state.
  Task<void> Wait() {
    boost::system::error_code ignored;
    co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }

 private:
  asio::steady_timer timer_;
};

// Bounds a wait: wakes those who wait for `changed` when `at_most` has passed, unless it has been
// destroyed before.
class Timeout {
 public:
  Timeout(const asio::any_io_executor& executor, std::chrono::milliseconds at_most,
          std::shared_ptr<Notifier> changed)
      : timer_(executor, at_most) {
    // The handler may run after this object is gone: what it touches is shared.
    timer_.async_wait(
        [expired = expired_, changed = std::move(changed)](boost::system::error_code error) {
          if (error) return;
          *expired = true;
          changed->NotifyAll();
        });
  }

  bool expired() const { return *expired_; }

 private:
  std::shared_ptr<bool> expired_ = std::make_shared<bool>(false);
  asio::steady_timer timer_;
};

// Whether the coroutine that asks has been cancelled (its caller is gone).
inline Task<bool> IsCancelled() {
  const auto state = co_await asio::this_coro::cancellation_state;
  co_return state.cancelled() != asio::cancellation_type::none;
}

// One coroutine at a time. Fair in the order of arrival, more or less.
class AsyncMutex {
 public:
  explicit AsyncMutex(const asio::any_io_executor& executor) : free_(executor) {}

  class Lock {
   public:
    explicit Lock(std::shared_ptr<AsyncMutex> mutex) : mutex_(std::move(mutex)) {}
    Lock(Lock&&) noexcept = default;
    Lock& operator=(Lock&&) = delete;
    ~Lock() {
      if (!mutex_) return;
      mutex_->locked_ = false;
      mutex_->free_.NotifyAll();
    }

   private:
    std::shared_ptr<AsyncMutex> mutex_;
  };

  static Task<Lock> Acquire(std::shared_ptr<AsyncMutex> mutex) {
    while (mutex->locked_) co_await mutex->free_.Wait();
    mutex->locked_ = true;
    co_return Lock(std::move(mutex));
  }
  // Empty: somebody else has it.
  static std::optional<Lock> TryAcquire(std::shared_ptr<AsyncMutex> mutex) {
    if (mutex->locked_) return std::nullopt;
    mutex->locked_ = true;
    return Lock(std::move(mutex));
  }

 private:
  Notifier free_;
  bool locked_ = false;
};

}  // namespace claw::lifecycle
