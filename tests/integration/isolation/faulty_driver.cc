#include "tests/integration/isolation/faulty_driver.h"

namespace claw::test {

std::string_view ToString(Moment moment) {
  switch (moment) {
    case Moment::kBeforeCreate:
      return "before create";
    case Moment::kAfterCreate:
      return "after create";
    case Moment::kBeforeStart:
      return "before start";
    case Moment::kAfterStart:
      return "after start";
  }
  return "?";
}

void FaultyDriver::SetHook(Hook hook) {
  const std::lock_guard lock(mutex_);
  hook_ = std::move(hook);
}

Status FaultyDriver::At(Moment moment) {
  Hook hook;
  {
    const std::lock_guard lock(mutex_);
    hook = hook_;
  }
  return hook ? hook(moment, std::string(name())) : absl::OkStatus();
}

StatusOr<drivers::Created> FaultyDriver::Create(const drivers::LaunchSpec& spec) {
  RETURN_IF_ERROR(At(Moment::kBeforeCreate));
  StatusOr<drivers::Created> created = real_->Create(spec);
  RETURN_IF_ERROR(At(Moment::kAfterCreate));
  return created;
}

StatusOr<std::string> FaultyDriver::Start(const DriverHandle& handle) {
  RETURN_IF_ERROR(At(Moment::kBeforeStart));
  StatusOr<std::string> started = real_->Start(handle);
  RETURN_IF_ERROR(At(Moment::kAfterStart));
  return started;
}

}  // namespace claw::test
