#pragma once

#include <catch2/catch.hpp>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "drivers/network/resolver.h"

namespace claw::network {

// A resolver whose times are short, and what it told.
class Resolving {
 public:
  static constexpr std::chrono::seconds kLong{30};  // only a failure waits so long

  static ResolverConfig Config(int port) {
    using std::chrono::milliseconds;
    return {.servers = {"127.0.0.1"},
            .port = port,
            .min_ttl = milliseconds(20),
            .max_ttl = milliseconds(50),
            .retry = milliseconds(20),
            .max_retry = milliseconds(50),
            .max_stale = std::chrono::hours(1),
            .query_timeout = milliseconds(50),
            .tries = 2};
  }

  explicit Resolving(ResolverConfig config) {
    auto made = Resolver::Make(std::move(config), [this](const ResolvedName& answer) {
      const std::lock_guard lock(mutex_);
      told_[answer.name].push_back(answer);
      changed_.notify_all();
    });
    INFO(ToLogString(made.status()));
    REQUIRE(made.ok());
    resolver_ = std::move(*made);
  }

  Resolver* operator->() { return resolver_.get(); }
  void Reset() { resolver_.reset(); }

  // How often it was told of this name.
  size_t Told(const std::string& name) {
    const std::lock_guard lock(mutex_);
    return told_[name].size();
  }

  // Waits until the last that was told of the name is so; answers with it.
  ResolvedName WaitUntil(const std::string& name,
                         const std::function<bool(const ResolvedName&)>& so) {
    std::unique_lock lock(mutex_);
    const bool was = changed_.wait_for(
        lock, kLong, [&] { return !told_[name].empty() && so(told_[name].back()); });
    CHECK(was);
    return told_[name].empty() ? ResolvedName{} : told_[name].back();
  }
  ResolvedName WaitForAddresses(const std::string& name,
                                const std::vector<std::string>& addresses) {
    return WaitUntil(name, [&](const ResolvedName& it) { return it.addresses == addresses; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::vector<ResolvedName>> told_;
  std::unique_ptr<Resolver> resolver_;
};

}  // namespace claw::network
