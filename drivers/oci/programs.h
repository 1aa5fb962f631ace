#pragma once

#include <mutex>
#include <optional>
#include <string>

#include "agent/base/file.h"

namespace claw::drivers {

// The runtime and its supervisor as they were found, and whether they still are the same. Thread-
// safe: a driver is looked at again while others go on with what was found before.
class Programs {
 public:
  // Names, to be looked for in PATH, or paths.
  Programs(std::string runtime, std::string conmon);

  // Looks for them now. NOT_FOUND, reason PROGRAM_MISSING, for the first that is not there.
  Status Look();
  // Whether the runtime's file is another one than Look found: replaced, installed or removed.
  bool RuntimeChanged() const;

  // Paths; empty: not found.
  std::string runtime() const;
  std::string conmon() const;

 private:
  struct Found {
    std::string runtime{};
    std::string conmon{};
    std::optional<FileIdentity> runtime_file{};
    Status problem{};  // of the first that is not there
  };
  Found Find() const;

  const std::string runtime_name_;
  const std::string conmon_name_;
  mutable std::mutex mutex_;
  Found found_;  // guarded by mutex_
};

}  // namespace claw::drivers
