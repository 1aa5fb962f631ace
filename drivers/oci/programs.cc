#include "drivers/oci/programs.h"

#include "agent/base/subprocess.h"

namespace claw::drivers {

Programs::Programs(std::string runtime, std::string conmon)
    : runtime_name_(std::move(runtime)), conmon_name_(std::move(conmon)) {}

Programs::Found Programs::Find() const {
  Found found;
  const StatusOr<std::string> conmon = FindProgram(conmon_name_);
  const StatusOr<std::string> runtime = FindProgram(runtime_name_);
  found.conmon = conmon.value_or("");
  found.runtime = runtime.value_or("");
  found.problem = conmon.status();
  found.problem.Update(runtime.status());
  if (const auto file = IdentifyFile(found.runtime); file.ok()) found.runtime_file = *file;
  return found;
}

Status Programs::Look() {
  Found found = Find();
  const std::lock_guard lock(mutex_);
  found_ = std::move(found);
  return found_.problem;
}

bool Programs::RuntimeChanged() const {
  const Found now = Find();
  const std::lock_guard lock(mutex_);
  return now.runtime != found_.runtime || now.runtime_file != found_.runtime_file;
}

std::string Programs::runtime() const {
  const std::lock_guard lock(mutex_);
  return found_.runtime;
}

std::string Programs::conmon() const {
  const std::lock_guard lock(mutex_);
  return found_.conmon;
}

}  // namespace claw::drivers
