#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "agent/base/unique_fd.h"

namespace claw::drivers {

// Calls back when a process has ended, by its pidfd: one thread asleep in epoll for all of them, no
// polling. Thread-safe. The destructor joins the thread and drops the callbacks that have not come.
class ExitWatcher {
 public:
  ExitWatcher();
  ~ExitWatcher();
  ExitWatcher(const ExitWatcher&) = delete;
  ExitWatcher& operator=(const ExitWatcher&) = delete;

  // Calls `on_exit` once, on the watcher's thread. A watch of the same key replaces the one before.
  void Watch(const std::string& key, UniqueFd pidfd, std::function<void()> on_exit);
  // After it returns the callback will not start any more (it may be running, unless called from
  // it).
  void Forget(const std::string& key);

 private:
  struct Entry {
    std::string key;
    UniqueFd pidfd;
    std::function<void()> on_exit;
  };

  void Loop();

  UniqueFd epoll_;
  UniqueFd wake_;
  std::mutex mutex_;
  uint64_t next_token_ = 1;
  std::map<uint64_t, Entry> entries_;
  std::map<std::string, uint64_t> tokens_;
  std::thread thread_;
};

}  // namespace claw::drivers
