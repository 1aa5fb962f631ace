#pragma once

#include <filesystem>
#include <string>

#include "agent/base/clock.h"
#include "agent/base/status.h"
#include "agent/model/vm.h"
#include "vm/machines.h"

namespace claw::vm {

// The folder of one VM, mode 0700: its disk of state, what it is handed at its boot, and what
// proves the host to it.
class MachineFiles {
 public:
  MachineFiles(const std::filesystem::path& all, const std::string& vm) : folder_(all / vm) {}

  std::filesystem::path seed() const { return folder_ / "seed.img"; }
  std::filesystem::path state() const { return folder_ / "state.img"; }
  std::filesystem::path console() const { return folder_ / "console.log"; }

  // Everything for the next boot, with new keys; `config` as in MachinesOptions. Answers with when
  // they end.
  StatusOr<Time> Prepare(const Vm& vm, const std::string& config, Time now) const;
  StatusOr<GuestCredentials> ReadCredentials() const;
  Status Remove() const;

 private:
  std::filesystem::path folder_;
};

// The config of the agent in a guest. Its paths are those of vm/guest/init.
std::string GuestConfig(const std::string& vm, const std::string& more);

}  // namespace claw::vm
