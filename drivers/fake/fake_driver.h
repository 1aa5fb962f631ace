#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "drivers/driver.h"
#include "drivers/fake/fake_world.h"

namespace claw::drivers {

// A driver whose sandboxes live in memory, for tests of what stands above drivers. Keeps the
// contract of driver.h save for what only a kernel can do: it limits nothing and hides nothing.
class FakeDriver final : public Driver {
 public:
  // Several drivers may share a world; each sees its own sandboxes, by its name.
  FakeDriver(std::string name, IsolationClass isolation, std::shared_ptr<FakeWorld> world);

  std::string_view name() const override { return name_; }
  IsolationClass isolation() const override { return isolation_; }

  Fingerprint Probe() override;
  bool RuntimeChanged() const override;
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
  int64_t SyscallLogBytes(const std::string& id) const override;
  StatusOr<std::unique_ptr<LogReader>> OpenLog(const DriverHandle& handle) override;
  StatusOr<UniqueFd> OpenInput(const DriverHandle& handle) override;
  Status ResizeTerminal(const DriverHandle& handle, int rows, int columns) override;
  StatusOr<std::unique_ptr<ExecSession>> Exec(const DriverHandle& handle,
                                              const ExecSpec& spec) override;

 private:
  // DATA_LOSS for a handle of another driver.
  Status CheckHandle(const DriverHandle& handle) const;
  // This driver's sandbox, or null.
  std::shared_ptr<FakeBox> Find(const std::string& id) const;
  StatusOr<std::shared_ptr<FakeBox>> FindOrError(const DriverHandle& handle) const;

  const std::string name_;
  const IsolationClass isolation_;
  const std::shared_ptr<FakeWorld> world_;
  const std::shared_ptr<int> alive_ = std::make_shared<int>();  // those who wait go with it
  mutable std::mutex mutex_;
  Fingerprint fingerprint_;
};

}  // namespace claw::drivers
