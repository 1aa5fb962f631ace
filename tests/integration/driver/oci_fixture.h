#pragma once

#include <memory>
#include <string>

#include "drivers/gvisor/gvisor_driver.h"
#include "drivers/runc/legacy_driver.h"
#include "drivers/runc/runc_driver.h"
#include "tests/integration/driver/contract.h"
#include "tests/support/temp_dir.h"

namespace claw::test {

// A real driver on folders and cgroups of its own.
class OciFixture final : public DriverFixture {
 public:
  explicit OciFixture(std::string kind, std::shared_ptr<TempDir> dir = nullptr,
                      const std::string& boot_id = "");
  ~OciFixture() override;

  drivers::Driver& driver() override { return *driver_; }
  std::unique_ptr<DriverFixture> Reopen() override;
  // As after a reboot: the same folders, another boot id.
  std::unique_ptr<OciFixture> Reboot();
  drivers::LaunchSpec Shell(const std::string& script) override;
  bool real() const override { return true; }

  host::Cgroups& cgroups() { return *cgroups_; }
  const std::filesystem::path& dir() const { return dir_->path(); }
  std::string cgroup_parent() const;

 private:
  std::string kind_;
  std::shared_ptr<TempDir> dir_;
  host::HostInfo host_;
  std::unique_ptr<host::Cgroups> cgroups_;
  drivers::ExitWatcher exits_;
  std::unique_ptr<drivers::Driver> driver_;
};

}  // namespace claw::test
