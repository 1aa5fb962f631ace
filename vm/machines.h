#pragma once

// The host's virtual machines as the agent sees them: made, booted, watched and removed, each with
// its files in a folder of its own. What the hypervisor is stays behind this.
//
// Threads: every call may block and is made from a pool thread. Calls about one machine never
// overlap.

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/status.h"
#include "agent/model/vm.h"

namespace claw::vm {

// What can run machines here.
struct HypervisorFacts {
  std::string domain_type{};  // "hvf", "kvm", "qemu"
  bool emulated = false;      // the processor is (qemu)
  std::string version{};      // of libvirt and QEMU, for people
};

struct GuestImageFacts {
  std::filesystem::path folder{};
  std::string digest{};  // "sha256:…"
  std::string architecture{};
  std::string kernel_version{};
  std::string agent_version{};
  int64_t size_bytes = 0;
  struct Package {
    std::string name{};
    std::string version{};
    std::string sha256{};
  };
  std::vector<Package> packages{};
};

// A machine that has been switched on.
struct Booted {
  int64_t port = 0;  // on 127.0.0.1; leads to the guest's agent
  std::string image_digest{};
  Time certificate_expires_at{};
};

struct MachineState {
  std::string name{};
  bool on = false;
  bool suspended = false;  // on, and stands still
};

struct MachineMemory {
  int64_t balloon_bytes = 0;   // what the guest has at present
  int64_t resident_bytes = 0;  // of the hypervisor's process; 0: not known
  int64_t overhead_bytes = 0;  // of that, what is not the guest's memory; 0: not known
};

// What happened to a machine without being asked for, as well as what was.
enum class MachineEvent { kOn, kOff, kSuspended, kResumed };

class Machines {
 public:
  virtual ~Machines() = default;

  // Told of each event and of the end of the connection to the hypervisor, on any thread, until
  // this is destroyed. To be set before the first call.
  struct Listener {
    std::function<void(const std::string& name, MachineEvent event)> on_event{};
    // Its balloon has moved, and this is what the guest has now.
    std::function<void(const std::string& name, int64_t bytes)> on_balloon{};
    std::function<void()> on_lost{};
  };
  virtual void Listen(Listener listener) = 0;

  // Connects to the hypervisor unless that has been done, starting it if it is the agent's own.
  // UNAVAILABLE, reason HYPERVISOR_UNREACHABLE; FAILED_PRECONDITION, reasons LIBVIRT_MISSING and
  // VM_UNSUPPORTED. What every call below may answer, too.
  virtual StatusOr<HypervisorFacts> Connect() = 0;

  // The image that machines are started with, checked. FAILED_PRECONDITION, reason
  // GUEST_IMAGE_MISSING or GUEST_IMAGE_BROKEN.
  virtual StatusOr<GuestImageFacts> CheckImage() = 0;

  // Makes its files and its definition anew, but for its disk, and switches it on. UNAVAILABLE,
  // reason VM_START_FAILED: it is off. FAILED_PRECONDITION, reason VM_RUNNING: it was on already,
  // and nothing is changed. After any other error it may be on.
  virtual StatusOr<Booted> Boot(const Vm& vm) = 0;
  // Off already, or not there: OK.
  virtual Status PullPlug(const std::string& name) = 0;
  virtual Status Suspend(const std::string& name) = 0;
  virtual Status Resume(const std::string& name) = 0;
  // With all of its files. Not there: OK. FAILED_PRECONDITION, reason VM_RUNNING: it is on.
  virtual Status Remove(const std::string& name) = 0;

  // Those that this agent has made, and no others.
  virtual StatusOr<std::vector<MachineState>> List() = 0;
  virtual StatusOr<MachineMemory> GetMemory(const std::string& name) = 0;
  // Within what the machine was booted with; the guest gives back what it can, in its own time, and
  // takes nothing back by itself.
  virtual Status SetBalloon(const std::string& name, int64_t bytes) = 0;

  // Of the last boot.
  virtual StatusOr<GuestCredentials> ReadCredentials(const std::string& name) = 0;
  virtual std::filesystem::path ConsolePath(const std::string& name) const = 0;
};

}  // namespace claw::vm
