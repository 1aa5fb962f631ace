#pragma once

#include <atomic>
#include <chrono>

#include "agent/base/clock.h"

namespace claw::test {

// Stands until it is moved, but for a microsecond a look, so that nothing happens at the same time
// as anything else. Thread-safe.
class FakeClock final : public Clock {
 public:
  Time Now() const override { return FromMicros(micros_.fetch_add(1)); }
  void Set(Time time) { micros_ = ToMicros(time); }
  void Advance(std::chrono::microseconds by) { micros_.fetch_add(by.count()); }

 private:
  mutable std::atomic<int64_t> micros_ = int64_t{1'800'000'000} * 1'000'000;
};

}  // namespace claw::test
