#pragma once

#include <string>

namespace claw {

// Memory that was charged, times how long: bytes x seconds. Workload and overhead are never folded
// into one. Never negative.
struct ByteSeconds {
  double workload = 0;
  double overhead = 0;

  ByteSeconds& operator+=(const ByteSeconds& more) {
    workload += more.workload;
    overhead += more.overhead;
    return *this;
  }
  bool operator==(const ByteSeconds&) const = default;
};

// What a tenant was charged for sandboxes that hold nothing any more.
struct TenantUsage {
  std::string tenant{};  // its name
  ByteSeconds charged{};

  bool operator==(const TenantUsage&) const = default;
};

}  // namespace claw
