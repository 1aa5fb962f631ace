#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "drivers/driver.h"

namespace claw::test {

// A driver that is ready to run sandboxes, with all that it stands on.
class DriverFixture {
 public:
  virtual ~DriverFixture() = default;
  virtual drivers::Driver& driver() = 0;
  // A second driver over the same folders, as after a restart of the agent.
  virtual std::unique_ptr<DriverFixture> Reopen() = 0;
  // A spec that runs `script` in a shell.
  virtual drivers::LaunchSpec Shell(const std::string& script) = 0;
  // Whether memory limits are really enforced (a fake cannot).
  virtual bool real() const = 0;
};

// The one suite for every driver: each check is a Catch2 section.
void CheckDriverContract(const std::function<std::unique_ptr<DriverFixture>()>& make);

// Waits until the output has this in it; fails the test after 30 s.
std::string ReadUntil(drivers::Driver& driver, const DriverHandle& handle,
                      const std::string& wanted);
// Waits until it has ended; fails the test after 30 s.
drivers::ExitObservation AwaitExit(drivers::Driver& driver, const DriverHandle& handle);
// All output once the sandbox has ended.
std::string ReadLog(drivers::Driver& driver, const DriverHandle& handle, bool from_stderr = false);

}  // namespace claw::test
