#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/status.h"

namespace claw {

// What the overhead of a sandbox depends on, as far as it is known before it runs.
struct SandboxClass {
  std::string image_digest{};
  std::string image_family{};  // the image's repository without tag and digest; empty: it has none
  std::string driver{};        // "runc", "gvisor"
  std::string runtime_version{};
  std::string platform{};      // gVisor's; empty elsewhere
  std::string architecture{};  // "amd64", "arm64"
  int64_t page_size_bytes = 0;

  bool operator==(const SandboxClass&) const = default;
};

// Over what a record sums up, from the narrowest to the widest.
enum class OverheadLevel { kImage, kFamily, kRuntime };

std::string_view ToString(OverheadLevel level);
StatusOr<OverheadLevel> ParseOverheadLevel(std::string_view text);

// The highest overhead of one sandbox within one window.
struct OverheadPeak {
  int64_t bytes = 0;
  Time at{};

  bool operator==(const OverheadPeak&) const = default;
};

// What the programs of a class used, over windows whose weights fade as those of the peaks: the
// sums of weight x mean and of weight x mean square.
struct UsageMoments {
  double weight = 0;
  double mean_sum = 0;    // bytes
  double square_sum = 0;  // bytes squared

  bool operator==(const UsageMoments&) const = default;
};

// What has been measured of one class of sandboxes, or of all with the same family or runtime. The
// numbers mean what agent/budget/overhead.h makes of them.
struct OverheadRecord {
  OverheadLevel level = OverheadLevel::kImage;
  SandboxClass sandboxes{};  // of kFamily without the digest, of kRuntime without the family too
  std::map<int, double> buckets{};  // weight by bucket, as of `weighed_at`
  Time weighed_at{};
  OverheadPeak recent{};                // the highest of late
  std::vector<OverheadPeak> samples{};  // the newest windows, oldest first
  UsageMoments usage{};                 // of kImage only, as of `weighed_at`
  int64_t windows = 0;                  // ever
  Time first_at{};
  Time last_at{};

  bool operator==(const OverheadRecord&) const = default;
};

// "image/sha256:…/gvisor/release-…/systrap/amd64/4096": the key under which it is recorded.
std::string OverheadKey(OverheadLevel level, const SandboxClass& sandboxes);
inline std::string OverheadKey(const OverheadRecord& record) {
  return OverheadKey(record.level, record.sandboxes);
}

}  // namespace claw
