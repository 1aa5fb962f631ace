#include "drivers/network/name_state.h"

#include <algorithm>
#include <utility>

#include "agent/base/strings.h"

namespace claw::network {

using Kind = DnsReply::Kind;

NameState::NameState(std::string name, Instant now) : name_(std::move(name)), ask_at_(now) {}

void NameState::Take(const DnsReply& reply, const ResolverConfig& config, Instant now,
                     Family& family) {
  if (reply.kind == Kind::kFailed) {
    family.problem = reply.problem;
    if (!family.addresses.empty()) family.kept_until = family.good_until + config.max_stale;
    return;
  }
  family = {};
  if (reply.kind != Kind::kAddresses) return;
  family.addresses = reply.addresses;
  const std::chrono::milliseconds ttl = reply.ttl;
  family.good_until = now + std::clamp(ttl, config.min_ttl, config.max_ttl);
}

void NameState::Take(const DnsReply& v4, const std::optional<DnsReply>& v6,
                     const ResolverConfig& config, Instant now) {
  const auto is = [&](Kind kind) { return v4.kind == kind || (v6 && v6->kind == kind); };
  asked_ = true;
  no_such_name_ = is(Kind::kNoSuchName) && !is(Kind::kAddresses);
  Take(v4, config, now, v4_);
  if (v6) Take(*v6, config, now, v6_);
  if (no_such_name_) v4_ = v6_ = {};

  const bool good = is(Kind::kAddresses) && !is(Kind::kFailed);
  failures_ = good ? 0 : failures_ + 1;
  ask_at_ = Instant::max();
  if (!good) {
    std::chrono::milliseconds wait = config.retry;
    for (int i = 1; i < failures_ && wait < config.max_retry; ++i) wait *= 2;
    ask_at_ = now + std::min(wait, config.max_retry);
  }
  for (const Family* family : {&v4_, &v6_}) {
    // Not for those that are kept: they are no longer good.
    if (family->good_until > now) ask_at_ = std::min(ask_at_, family->good_until);
  }
  Age(now);
}

void NameState::Age(Instant now) {
  for (Family* family : {&v4_, &v6_}) {
    if (family->kept_until > now) continue;
    family->addresses.clear();
    family->kept_until = Instant::max();
  }
}

NameState::Instant NameState::age_at() const { return std::min(v4_.kept_until, v6_.kept_until); }

ResolvedName NameState::Known() const {
  ResolvedName known{.name = name_, .problem = Problem()};
  for (const Family* family : {&v4_, &v6_}) {
    known.addresses.insert(known.addresses.end(), family->addresses.begin(),
                           family->addresses.end());
  }
  std::sort(known.addresses.begin(), known.addresses.end());
  known.addresses.erase(std::unique(known.addresses.begin(), known.addresses.end()),
                        known.addresses.end());
  return known;
}

std::string NameState::Problem() const {
  if (!asked_) return "it has not been answered yet";
  if (no_such_name_) return "there is no such name";
  const bool none = v4_.addresses.empty() && v6_.addresses.empty();
  std::string problem;
  if (v4_.problem == v6_.problem) {
    problem = v4_.problem;
  } else if (v6_.problem.empty()) {
    problem = StrCat("IPv4: ", v4_.problem);
  } else if (v4_.problem.empty()) {
    problem = StrCat("IPv6: ", v6_.problem);
  } else {
    problem = StrCat("IPv4: ", v4_.problem, "; IPv6: ", v6_.problem);
  }
  if (problem.empty()) return none ? "it has no addresses" : "";
  const bool kept = std::min(v4_.kept_until, v6_.kept_until) != Instant::max();
  return kept ? StrCat(problem, "; what was answered before still holds") : problem;
}

}  // namespace claw::network
