#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/unit/clawctl/fake_agent.h"

namespace claw::ctl::testing {

// What one invocation of clawctl left behind.
struct CtlResult {
  int code = 0;
  std::string out;
  std::string err;
};

// A node with a fake agent on a socket of its own, and clawctl to talk to it.
class Fixture {
 public:
  Fixture();
  ~Fixture();
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;

  // Runs clawctl in this process with --socket set; `input` is its standard input. The clock stands
  // 192 seconds after the records of the fake were made.
  CtlResult Ctl(const std::vector<std::string>& args, const std::string& input = "") const;

  [[nodiscard]] const std::string& socket() const { return socket_; }
  [[nodiscard]] const std::string& directory() const { return directory_; }
  FakeState& state() { return agent_->state(); }
  void StopAgent() { agent_.reset(); }

 private:
  std::string directory_;
  std::string socket_;
  std::unique_ptr<FakeAgent> agent_;
};

// The lines of a text, without their ends.
std::vector<std::string> Lines(const std::string& text);

}  // namespace claw::ctl::testing
