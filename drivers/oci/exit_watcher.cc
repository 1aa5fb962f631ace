#include "drivers/oci/exit_watcher.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>

namespace claw::drivers {

namespace {
constexpr uint64_t kWakeToken = 0;
}

ExitWatcher::ExitWatcher()
    : epoll_(::epoll_create1(EPOLL_CLOEXEC)), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  // Without them no exit would ever be seen: at the agent's start that is the end of it.
  if (!epoll_.valid() || !wake_.valid()) std::abort();
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kWakeToken;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event);
  thread_ = std::thread([this] { Loop(); });
}

ExitWatcher::~ExitWatcher() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t ignored = ::write(wake_.get(), &one, sizeof(one));
  thread_.join();
}

void ExitWatcher::Watch(const std::string& key, UniqueFd pidfd, std::function<void()> on_exit) {
  Forget(key);
  const std::lock_guard lock(mutex_);
  const uint64_t token = next_token_++;
  epoll_event event{};
  event.events = EPOLLIN | EPOLLONESHOT;
  event.data.u64 = token;
  const int fd = pidfd.get();
  entries_.emplace(token, Entry{key, std::move(pidfd), std::move(on_exit)});
  tokens_[key] = token;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
}

void ExitWatcher::Forget(const std::string& key) {
  const std::lock_guard lock(mutex_);
  const auto it = tokens_.find(key);
  if (it == tokens_.end()) return;
  entries_.erase(it->second);  // closing the descriptor takes it out of epoll
  tokens_.erase(it);
}

void ExitWatcher::Loop() {
  std::array<epoll_event, 64> events;
  while (true) {
    const int count = ::epoll_wait(epoll_.get(), events.data(), events.size(), -1);
    for (int i = 0; i < count; ++i) {
      const uint64_t token = events[static_cast<size_t>(i)].data.u64;
      if (token == kWakeToken) return;
      std::function<void()> on_exit;
      {
        const std::lock_guard lock(mutex_);
        const auto it = entries_.find(token);
        if (it == entries_.end()) continue;
        on_exit = std::move(it->second.on_exit);
        tokens_.erase(it->second.key);
        entries_.erase(it);
      }
      on_exit();
    }
  }
}

}  // namespace claw::drivers
