#pragma once

#include <string>
#include <string_view>

#include "agent/base/status.h"
#include "tools/clawctl/client.h"

namespace claw::ctl {

// The image of a verdict: what ResolveImage finds, or a whole digest as it is, since a verdict
// outlives its image.
StatusOr<std::string> ResolveTested(Client& client, std::string_view typed);

// "images/sha256:…" of "sha256:…" or "NAME@sha256:…". A name alone is a usage error that shows its
// digest, because what a name means may change.
StatusOr<std::string> RequireDigest(Client& client, std::string_view typed);

}  // namespace claw::ctl
