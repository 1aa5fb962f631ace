#pragma once

#include <filesystem>

#include "agent/base/status.h"
#include "agent/model/hardening.h"

namespace claw::host {

struct FactsSource {
  std::filesystem::path root = "/";  // where proc and sys are; tests have recorded ones
  std::filesystem::path state_dir{};
  std::filesystem::path run_dir{};
};

// Some twenty small files, a fraction of a millisecond. A setting that cannot be read is said to
// be so; an error means that nothing is known. linux/ and darwin/ each have one.
StatusOr<MachineFacts> ReadMachineFacts(const FactsSource& source);

}  // namespace claw::host
