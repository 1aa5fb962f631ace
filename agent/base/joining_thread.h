#pragma once

#include <concepts>
#include <thread>
#include <utility>

namespace claw {

// A thread that is waited for before it goes, as with std::jthread, which macOS's library lacks.
class JoiningThread {
 public:
  JoiningThread() = default;
  template <std::invocable Work>
  explicit JoiningThread(Work work) : thread_(std::move(work)) {}
  JoiningThread(JoiningThread&& other) noexcept = default;
  JoiningThread& operator=(JoiningThread&& other) noexcept {
    Join();
    thread_ = std::move(other.thread_);
    return *this;
  }
  ~JoiningThread() { Join(); }

  [[nodiscard]] bool joinable() const { return thread_.joinable(); }
  void join() { thread_.join(); }

 private:
  void Join() {
    if (thread_.joinable()) thread_.join();
  }

  std::thread thread_;
};

}  // namespace claw
