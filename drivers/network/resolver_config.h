#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace claw::network {

struct ResolverConfig {
  std::vector<std::string> servers{};  // addresses; the next is asked if one does not answer
  int port = 53;                       // of those servers
  bool ipv6 = true;                    // ask for IPv6 addresses too

  // An answer is good for as long as it says, but not shorter or longer than this.
  std::chrono::milliseconds min_ttl = std::chrono::seconds(5);
  std::chrono::milliseconds max_ttl = std::chrono::hours(1);
  // When to ask again after a question that brought no address: first, then doubled up to.
  std::chrono::milliseconds retry = std::chrono::seconds(5);
  std::chrono::milliseconds max_retry = std::chrono::seconds(60);
  // How long addresses are kept beyond that time if they cannot be asked for any more.
  std::chrono::milliseconds max_stale = std::chrono::minutes(10);

  // How long a server may take, at first; doubled for each further round.
  std::chrono::milliseconds query_timeout = std::chrono::seconds(2);
  int tries = 2;  // rounds through the servers
};

}  // namespace claw::network
