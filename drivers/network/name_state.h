#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "drivers/network/dns_channel.h"
#include "drivers/network/network.h"
#include "drivers/network/resolver_config.h"

namespace claw::network {

// What is known of one name, and when to ask again. Pure: the time is an argument.
class NameState {
 public:
  using Instant = std::chrono::steady_clock::time_point;

  // Not asked for yet.
  NameState(std::string name, Instant now);

  // What was answered for IPv4, and for IPv6 if that was asked for.
  // - Addresses replace those of their kind, for as long as they are good.
  // - A failure keeps those of its kind, until max_stale.
  // - That there is no such name removes all, unless addresses came with it. (Some servers say so
  //   of names that have no addresses of a kind.)
  void Take(const DnsReply& v4, const std::optional<DnsReply>& v6, const ResolverConfig& config,
            Instant now);
  // Removes what has been kept for too long.
  void Age(Instant now);

  // What is known: the addresses sorted, each once.
  ResolvedName Known() const;
  Instant ask_at() const { return ask_at_; }
  // When Age has something to do; the end of time if never.
  Instant age_at() const;

 private:
  struct Family {
    std::vector<std::string> addresses{};
    Instant good_until{};
    Instant kept_until = Instant::max();
    std::string problem{};  // of the last question
  };

  static void Take(const DnsReply& reply, const ResolverConfig& config, Instant now,
                   Family& family);
  std::string Problem() const;

  std::string name_;
  Instant ask_at_;
  int failures_ = 0;  // in a row
  bool asked_ = false;
  bool no_such_name_ = false;
  Family v4_;
  Family v6_;
};

}  // namespace claw::network
