#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/status.h"
#include "vm/domain.h"

namespace claw::vm {

enum class DomainState { kOff, kRunning, kPaused, kCrashed };

struct DomainInfo {
  std::string vm{};
  DomainState state = DomainState::kOff;
};

// In bytes; 0: not known.
struct DomainMemory {
  int64_t balloon_bytes = 0;   // what the guest has at present
  int64_t resident_bytes = 0;  // of the process that runs it
  int64_t usable_bytes = 0;    // of the guest, as its kernel says
  int64_t full_bytes = 0;      // what the guest has with an empty balloon
};

enum class DomainEvent { kOn, kOff, kPaused, kResumed };

struct HypervisorOptions {
  std::string uri{};    // libvirt's: "qemu+unix:///system?socket=/…", "test:///default"
  std::string owner{};  // only domains with this mark are seen
  // All on a thread of libvirt's, and not once this connection is closed. They only hand on what
  // they are told: a call from there, or the end of the connection, waits for ever.
  std::function<void(const std::string& vm, DomainEvent event)> on_event{};
  // Its balloon has moved, and this is what the guest has now.
  std::function<void(const std::string& vm, int64_t bytes)> on_balloon{};
  std::function<void()> on_lost{};
};

struct HypervisorVersions {
  std::string libvirt{};
  std::string hypervisor{};
};

// One connection to libvirt. Thread-safe; every call blocks. Errors: UNAVAILABLE, reason
// VM_START_FAILED (it is off) or HYPERVISOR_UNREACHABLE (whatever was asked for may have happened);
// FAILED_PRECONDITION, reason NOT_OURS; what libvirt says is in the message.
class Hypervisor {
 public:
  static StatusOr<std::unique_ptr<Hypervisor>> Connect(HypervisorOptions options);
  virtual ~Hypervisor() = default;

  virtual bool IsAlive() const = 0;
  virtual HypervisorVersions versions() const = 0;
  // Whether it can run arm64 machines of this type. FAILED_PRECONDITION, reason VM_UNSUPPORTED.
  virtual Status CheckType(DomainType type, const std::filesystem::path& emulator) const = 0;

  virtual StatusOr<std::vector<DomainInfo>> List() const = 0;
  // In the place of the one of the same name.
  virtual Status Define(const DomainSpec& spec) = 0;
  virtual Status Start(const std::string& vm) = 0;
  virtual Status Destroy(const std::string& vm) = 0;  // off, or not there: OK
  // Not there: OK. FAILED_PRECONDITION, reason VM_RUNNING.
  virtual Status Undefine(const std::string& vm) = 0;
  virtual Status Suspend(const std::string& vm) = 0;
  virtual Status Resume(const std::string& vm) = 0;
  virtual StatusOr<DomainMemory> GetMemory(const std::string& vm) const = 0;
  virtual Status SetMemory(const std::string& vm, int64_t bytes) = 0;
};

}  // namespace claw::vm
