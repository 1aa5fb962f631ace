#pragma once

#include <memory>
#include <string>

#include "drivers/fake/fake_driver.h"
#include "tests/integration/driver/contract.h"

namespace claw::test {

// Does what the contract suite's scripts do, by a table of them. A script that is not in the table
// is a program that does not exist.
Status RunContractScript(const std::shared_ptr<drivers::FakeProcess>& process);

// A fake driver on a world of its own.
class FakeFixture final : public DriverFixture {
 public:
  explicit FakeFixture(std::shared_ptr<drivers::FakeWorld> world = nullptr);

  drivers::Driver& driver() override { return driver_; }
  std::unique_ptr<DriverFixture> Reopen() override;
  drivers::LaunchSpec Shell(const std::string& script) override;
  bool real() const override { return false; }

  drivers::FakeWorld& world() { return *world_; }

 private:
  std::shared_ptr<drivers::FakeWorld> world_;
  drivers::FakeDriver driver_;
};

}  // namespace claw::test
