#pragma once

#include <string>

#include "agent/base/status.h"

namespace claw::ctl {

// The source of an import as the agent wants it: with its kind in front and an absolute path. A
// kind that is not given is guessed from what lies there: a folder with "oci-layout" is oci:, any
// other folder is rootfs:, a file is docker-archive:. NOT_FOUND if nothing lies there to guess
// from. A relative path starts at `base`; empty: the working directory.
StatusOr<std::string> CompleteImageSource(const std::string& source, const std::string& base = "");

}  // namespace claw::ctl
