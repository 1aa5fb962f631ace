#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "drivers/driver.h"

namespace claw::test {

// The moments of a start at which the world can change.
enum class Moment { kBeforeCreate, kAfterCreate, kBeforeStart, kAfterStart };
std::string_view ToString(Moment moment);

// A real driver with something that happens at the moments of a start. What the hook answers, if it
// is an error, is the answer of the call, whether the call was made or not.
class FaultyDriver final : public drivers::Driver {
 public:
  using Hook = std::function<Status(Moment, const std::string& driver)>;

  explicit FaultyDriver(std::unique_ptr<drivers::Driver> real) : real_(std::move(real)) {}

  // From any thread; none to take it back.
  void SetHook(Hook hook);

  std::string_view name() const override { return real_->name(); }
  IsolationClass isolation() const override { return real_->isolation(); }
  drivers::Fingerprint Probe() override { return real_->Probe(); }
  bool RuntimeChanged() const override { return real_->RuntimeChanged(); }
  StatusOr<drivers::Created> Create(const drivers::LaunchSpec& spec) override;
  StatusOr<std::string> Start(const DriverHandle& handle) override;
  Status Wait(const DriverHandle& handle,
              std::function<void(drivers::ExitObservation)> on_exit) override {
    return real_->Wait(handle, std::move(on_exit));
  }
  Status Kill(const DriverHandle& handle, int signal) override {
    return real_->Kill(handle, signal);
  }
  Status Destroy(const std::string& id) override { return real_->Destroy(id); }
  Status Purge(const std::string& id) override { return real_->Purge(id); }
  StatusOr<drivers::Inspection> Inspect(const DriverHandle& handle) override {
    return real_->Inspect(handle);
  }
  StatusOr<drivers::Stats> GetStats(const DriverHandle& handle) override {
    return real_->GetStats(handle);
  }
  StatusOr<std::vector<std::string>> List() override { return real_->List(); }
  StatusOr<Recovered> Recover(const std::string& id) override { return real_->Recover(id); }
  StatusOr<SyscallReport> ReadSyscalls(const std::string& id) override {
    return real_->ReadSyscalls(id);
  }
  int64_t SyscallLogBytes(const std::string& id) const override {
    return real_->SyscallLogBytes(id);
  }
  StatusOr<std::unique_ptr<drivers::LogReader>> OpenLog(const DriverHandle& handle) override {
    return real_->OpenLog(handle);
  }
  StatusOr<UniqueFd> OpenInput(const DriverHandle& handle) override {
    return real_->OpenInput(handle);
  }
  Status ResizeTerminal(const DriverHandle& handle, int rows, int columns) override {
    return real_->ResizeTerminal(handle, rows, columns);
  }
  StatusOr<std::unique_ptr<drivers::ExecSession>> Exec(const DriverHandle& handle,
                                                       const drivers::ExecSpec& spec) override {
    return real_->Exec(handle, spec);
  }

 private:
  Status At(Moment moment);

  const std::unique_ptr<drivers::Driver> real_;
  std::mutex mutex_;
  Hook hook_;  // guarded by mutex_
};

}  // namespace claw::test
