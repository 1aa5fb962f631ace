#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/status.h"
#include "agent/model/vm.h"
#include "drivers/driver.h"

namespace claw::drivers {

// What drivers of a class call themselves, on hosts and in guests.
constexpr std::string_view DriverNameOf(IsolationClass isolation) {
  switch (isolation) {
    case IsolationClass::kContainer:
      return "runc";
    case IsolationClass::kGvisor:
      return "gvisor";
    case IsolationClass::kLegacyHardened:
      return "legacy";
  }
  return "";
}

// A guest as its agent shows it.
struct GuestLook {
  std::string agent_version{};
  std::string boot_id{};
  std::string architecture{};
  std::string kernel_version{};
  int64_t page_size_bytes = 0;
  int64_t cpus = 0;
  std::string pressure{};  // "calm", …
  // Of its ledger, in bytes.
  int64_t capacity_bytes = 0;
  int64_t allocatable_bytes = 0;
  int64_t charged_bytes = 0;
  // As its kernel reports them.
  int64_t memory_total_bytes = 0;
  int64_t memory_available_bytes = 0;
  int64_t active_sandboxes = 0;
  bool ready = false;
  std::string problem{};  // its conditions, in a sentence; empty: none
  // What runs sandboxes there, as the guest's agent found it.
  std::vector<GuestPlatform::Runtime> runtimes{};

  bool operator==(const GuestLook&) const = default;
};

// The way to a guest's agent. Every call blocks, for pool threads; thread-safe. UNAVAILABLE, reason
// GUEST_UNREACHABLE.
class Guest {
 public:
  virtual ~Guest() = default;
  // FAILED_PRECONDITION, reason GUEST_VERSION_MISMATCH, of another version than this agent.
  virtual StatusOr<GuestLook> Look(std::chrono::milliseconds at_most) = 0;
  // Answers with what its clock was off by, if that was worth mending.
  virtual StatusOr<std::chrono::milliseconds> SetClock(Time now) = 0;
  virtual Status PowerOff(bool force) = 0;
  // Its agent ends, and is started anew by its init; sandboxes run on. `at_once`: as if killed.
  virtual Status RestartAgent(bool at_once) = 0;

  // Runs sandboxes of this class in the guest, whose agent admits them by itself. Lives as long as
  // the Guest. While the guest's agent does not answer, calls fail with GUEST_UNREACHABLE, nothing
  // is known, and Wait goes on waiting.
  virtual Driver& DriverOf(IsolationClass isolation) = 0;

  // Tests an image there as its agent does it, and sends it first unless it is there. `progress` is
  // called on the caller's thread.
  virtual StatusOr<CompatVerdict> TestImage(const CompatTestSpec& spec, const GuestFacts& facts,
                                            const std::filesystem::path& rootfs,
                                            const std::function<void(std::string)>& progress) = 0;
};

using DialGuest = std::function<StatusOr<std::shared_ptr<Guest>>(
    int64_t port, const GuestCredentials& credentials)>;

}  // namespace claw::drivers
