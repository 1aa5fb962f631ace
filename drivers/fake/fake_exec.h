#pragma once

#include <memory>

#include "drivers/driver.h"
#include "drivers/fake/fake_box.h"
#include "drivers/fake/fake_io.h"
#include "drivers/fake/fake_process.h"

namespace claw::drivers {

// Runs a further program in a fake sandbox. `io` outlives the session.
StatusOr<std::unique_ptr<ExecSession>> StartFakeExec(FakeBox& box, const ExecSpec& spec,
                                                     const Program& program,
                                                     const std::shared_ptr<FakeIo>& io);

}  // namespace claw::drivers
