#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "agent/base/status.h"
#include "agent/model/syscalls.h"

namespace claw::drivers {

// The seccomp section with these calls failing, whatever it said of them before. A call can only
// become stricter: what the profile refuses stays refused, with the new error.
nlohmann::json WithRefusedCalls(nlohmann::json profile, const std::vector<RefusedCall>& calls);

// UNIMPLEMENTED if the container gets no filter, or for a call that libseccomp does not know: the
// runtime would leave its rule out without a word.
Status CheckRefusable(const std::vector<RefusedCall>& calls, bool has_filter);

}  // namespace claw::drivers
