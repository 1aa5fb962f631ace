#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "agent/base/status.h"

namespace claw::network {

// nftables, in the network namespace of the calling thread. Any thread; each call has a context of
// its own. All of them block on the kernel.

// One transaction: all of it or nothing. An error carries the first lines of what nft said.
Status RunNft(const std::string& script);

// The answer to a command that lists, as JSON: the array of its objects.
StatusOr<nlohmann::json> ListNft(const std::string& command);

// That of the library: "1.0.6".
StatusOr<std::string> NftVersion();

}  // namespace claw::network
