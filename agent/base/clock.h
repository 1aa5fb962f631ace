#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace claw {

// Wall-clock instant, kept in microseconds since the epoch.
using Time = std::chrono::time_point<std::chrono::system_clock, std::chrono::microseconds>;

// Where the time comes from; tests put their own in its place. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual Time Now() const = 0;
};

class SystemClock final : public Clock {
 public:
  Time Now() const override {
    return std::chrono::time_point_cast<std::chrono::microseconds>(
        std::chrono::system_clock::now());
  }
};

inline int64_t ToMicros(Time time) { return time.time_since_epoch().count(); }
inline Time FromMicros(int64_t micros) { return Time(std::chrono::microseconds(micros)); }

// RFC 3339 in UTC with milliseconds: "2026-11-24T02:12:21.333Z".
std::string FormatTime(Time time);

}  // namespace claw
