#pragma once

#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/subprocess.h"
#include "tests/support/temp_dir.h"
#include "vm/hypervisor.h"

namespace claw::test {

// A libvirtd of a test's own: its folders are mounted over the machine's in a mount namespace that
// ends with it. Its network is that of the thread that starts it, which ought to be one of its own
// (EnterOwnNetwork). All that it runs ends with this, by pid.
class LibvirtDaemon {
 public:
  LibvirtDaemon();
  ~LibvirtDaemon();

  void Start();  // answers when it takes connections
  void Kill9();
  std::string uri() const;
  const std::filesystem::path& path() const { return dir_.path(); }
  // Of processes with a file of this folder in their command lines; without libvirtd itself.
  std::vector<pid_t> Qemus() const;
  std::string log() const;

 private:
  TempDir dir_;
  std::optional<Process> process_{};
};

// The processes with `path` somewhere in their command lines that are called qemu-….
std::vector<pid_t> QemusOf(const std::filesystem::path& path);
// Ends them, and waits until they are gone.
void KillQemusOf(const std::filesystem::path& path);

// Two instructions of arm64, "wait for an interrupt" and "go back", in the place of a kernel: runs
// as long as it is let, and takes no time. Answers with a spec that boots it with 64 MiB.
vm::DomainSpec IdleDomain(const std::filesystem::path& folder, const std::string& owner,
                          const std::string& vm);
// That program.
std::string IdleKernel();

// What a Hypervisor tells, in order.
class HypervisorWatch {
 public:
  vm::HypervisorOptions Options(std::string uri, std::string owner);
  // Waits until this is told; forgets what came before it, for there are others (a start is told as
  // a resumption, too).
  void Await(const std::string& vm, vm::DomainEvent event);
  // Waits for the end of a connection; each counts once.
  void AwaitLost();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::pair<std::string, vm::DomainEvent>> events_;
  int lost_ = 0;
};

}  // namespace claw::test
