#pragma once

#include <memory>
#include <string>

#include "drivers/guest/guest.h"
#include "tests/e2e/agent.h"
#include "tests/integration/driver/contract.h"
#include "vm/identity.h"

namespace claw::test {

// A real agent in the role of a guest, with real runtimes, on this machine's loopback: all that a
// VM adds is the way to it.
class GuestAgent {
 public:
  GuestAgent();

  // As its host does.
  std::shared_ptr<drivers::Guest> Dial();
  Agent& agent() { return *agent_; }
  // A tree of busybox, whose image no guest has before it is sent.
  std::filesystem::path root() const { return dir_.path() / "image"; }

 private:
  TempDir dir_;
  vm::GuestIdentity identity_;
  int port_ = 0;
  std::unique_ptr<Agent> agent_;
};

// Sandboxes of one class in it.
class GuestDriverFixture final : public DriverFixture {
 public:
  explicit GuestDriverFixture(IsolationClass isolation,
                              std::shared_ptr<GuestAgent> agent = nullptr);
  ~GuestDriverFixture() override;

  drivers::Driver& driver() override { return guest_->DriverOf(isolation_); }
  std::unique_ptr<DriverFixture> Reopen() override {
    return std::make_unique<GuestDriverFixture>(isolation_, agent_);
  }
  drivers::LaunchSpec Shell(const std::string& script) override;
  bool real() const override { return true; }

  GuestAgent& agent() { return *agent_; }
  drivers::Guest& guest() { return *guest_; }
  Image image() const;

 private:
  const IsolationClass isolation_;
  const std::shared_ptr<GuestAgent> agent_;
  std::shared_ptr<drivers::Guest> guest_;
  drivers::Fingerprint found_;
};

}  // namespace claw::test
