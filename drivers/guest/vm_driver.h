#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "drivers/guest/guest.h"

namespace claw::drivers {

// Sandboxes of one class in one VM of this host, whatever becomes of the way to its guest: that is
// dialled anew after each boot and each restart of this agent, and whoever waits for the end of a
// sandbox goes on waiting meanwhile. While the guest cannot be reached, what needs it fails with
// GUEST_UNREACHABLE. While the VM is off, nothing runs in it: what ended with it is told to whoever
// waited, ending and removing succeed, and what is left on its disk is removed after the next boot.
class VmDriver final : public Driver {
 public:
  VmDriver(std::string vm, IsolationClass isolation);

  // The guest answers, or does so no longer (null). Blocks as calls to guests do.
  void Use(std::shared_ptr<Guest> guest);
  void SwitchedOff(const std::string& why);

  std::string_view name() const override { return DriverNameOf(isolation_); }
  IsolationClass isolation() const override { return isolation_; }
  Fingerprint Probe() override;
  bool RuntimeChanged() const override { return false; }  // the guest's agent looks after that
  StatusOr<Created> Create(const LaunchSpec& spec) override;
  StatusOr<std::string> Start(const DriverHandle& handle) override;
  Status Wait(const DriverHandle& handle, std::function<void(ExitObservation)> on_exit) override;
  Status Kill(const DriverHandle& handle, int signal) override;
  Status Destroy(const std::string& id) override;
  Status Purge(const std::string& id) override;
  StatusOr<Inspection> Inspect(const DriverHandle& handle) override;
  StatusOr<Stats> GetStats(const DriverHandle& handle) override;
  StatusOr<std::vector<std::string>> List() override;
  StatusOr<Recovered> Recover(const std::string& id) override;
  StatusOr<SyscallReport> ReadSyscalls(const std::string& id) override;
  int64_t SyscallLogBytes(const std::string& /*id*/) const override { return 0; }
  StatusOr<std::unique_ptr<LogReader>> OpenLog(const DriverHandle& handle) override;
  StatusOr<UniqueFd> OpenInput(const DriverHandle& handle) override;
  Status ResizeTerminal(const DriverHandle& handle, int rows, int columns) override;
  StatusOr<std::unique_ptr<ExecSession>> Exec(const DriverHandle& handle,
                                              const ExecSpec& spec) override;

 private:
  struct Waiting {
    DriverHandle handle{};
    std::function<void(ExitObservation)> on_exit{};
  };

  StatusOr<std::shared_ptr<Guest>> Reach() const;
  bool IsOff() const;
  Driver& Of(Guest& guest) const { return guest.DriverOf(isolation_); }
  void Tell(const std::string& id, const ExitObservation& seen);
  Status WaitThere(Guest& guest, const DriverHandle& handle);

  const std::string vm_;
  const IsolationClass isolation_;
  mutable std::mutex mutex_;  // not held during calls to the guest
  std::shared_ptr<Guest> guest_;
  bool off_ = false;
  std::map<std::string, Waiting> waiting_;  // by the handle's data
};

}  // namespace claw::drivers
