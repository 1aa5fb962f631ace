#include "tools/clawctl/version.h"

namespace claw::ctl {

const std::string_view kVersion = CLAWCTL_VERSION;

}  // namespace claw::ctl
