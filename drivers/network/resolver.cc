#include "drivers/network/resolver.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>

#include "agent/base/strings.h"
#include "agent/base/subprocess.h"

namespace claw::network {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

Status Check(const ResolverConfig& config) {
  const milliseconds none(0);
  if (config.port < 1 || config.port > 65535) {
    return InvalidArgument(config.port, " is not a port");
  }
  if (config.min_ttl <= none || config.max_ttl < config.min_ttl) {
    return InvalidArgument("the bounds of how long an answer is good are not in order");
  }
  if (config.retry <= none || config.max_retry < config.retry || config.max_stale < none) {
    return InvalidArgument("the times after a failed question are not in order");
  }
  if (config.query_timeout <= none || config.query_timeout > milliseconds(60'000) ||
      config.tries < 1 || config.tries > 10) {
    return InvalidArgument("a DNS server is given up after 1 ms to 60 s and 1 to 10 tries");
  }
  return absl::OkStatus();
}

bool Differ(const ResolvedName& a, const ResolvedName& b) {
  return a.addresses != b.addresses || a.problem != b.problem;
}

}  // namespace

StatusOr<std::unique_ptr<Resolver>> Resolver::Make(
    ResolverConfig config, std::function<void(const ResolvedName&)> on_answer) {
  RETURN_IF_ERROR(Check(config));
  ASSIGN_OR_RETURN(std::unique_ptr<DnsChannel> channel, DnsChannel::Open(config));
  ASSIGN_OR_RETURN(auto wake, MakePipe());
  return std::make_unique<Resolver>(std::move(config), std::move(on_answer), std::move(channel),
                                    std::move(wake));
}

Resolver::Resolver(ResolverConfig config, std::function<void(const ResolvedName&)> on_answer,
                   std::unique_ptr<DnsChannel> channel, std::pair<UniqueFd, UniqueFd> wake)
    : config_(std::move(config)),
      on_answer_(std::move(on_answer)),
      wake_(std::move(wake)),
      channel_(std::move(channel)),
      thread_([this] { Loop(); }) {}

Resolver::~Resolver() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    Wake();
  }
  thread_.join();
}

// With the lock held. Never more than one byte, so the write does not block.
void Resolver::Wake() {
  if (std::exchange(woken_, true)) return;
  const char byte = 0;
  [[maybe_unused]] const ssize_t ignored = ::write(wake_.second.get(), &byte, 1);
}

void Resolver::Want(std::set<std::string> names) {
  const std::lock_guard lock(mutex_);
  std::erase_if(names_, [&](const auto& entry) {
    if (names.count(entry.first) > 0) return false;
    due_.erase({entry.second.due, entry.first});
    return true;
  });
  const Instant now = steady_clock::now();
  for (const std::string& name : names) {
    if (names_.count(name) > 0) continue;
    Name entry{.state = NameState(name, now), .id = next_id_++};
    Schedule(name, names_.emplace(name, std::move(entry)).first->second);
  }
  Wake();
  heard_.notify_all();  // whoever waits for a name that is gone
}

std::map<std::string, ResolvedName> Resolver::Answers() const {
  const std::lock_guard lock(mutex_);
  std::map<std::string, ResolvedName> answers;
  for (const auto& [name, entry] : names_) answers.emplace(name, entry.state.Known());
  return answers;
}

bool Resolver::WaitFor(const std::set<std::string>& names, milliseconds at_most) {
  std::unique_lock lock(mutex_);
  bool dropped = false;
  const auto settled = [&] {
    bool all = true;
    for (const std::string& name : names) {
      const auto it = names_.find(name);
      dropped = dropped || it == names_.end();
      all = all && it != names_.end() && it->second.heard;
    }
    return all || dropped;
  };
  return heard_.wait_for(lock, at_most, settled) && !dropped;
}

void Resolver::Schedule(const std::string& name, Name& entry) {
  due_.erase({entry.due, name});
  entry.due = std::min(entry.state.ask_at(), entry.state.age_at());
  due_.emplace(entry.due, name);
}

void Resolver::Loop() {
  while (true) {
    std::vector<ResolvedName> changed;
    std::vector<Round> to_ask;
    const std::vector<Round> finished = std::exchange(finished_, {});
    Instant next = Instant::max();
    {
      const std::lock_guard lock(mutex_);
      if (ending_) return;
      const Instant now = steady_clock::now();
      for (const Round& round : finished) TakeRound(round, now, changed);
      TakeDue(now, changed, to_ask);
      // With no room for another name, it is a reply that there is to wait for.
      const bool room = rounds_.size() + to_ask.size() < kMaxUnderWay;
      if (room && !due_.empty()) next = due_.begin()->first;
    }
    Tell(finished, changed);
    for (Round& round : to_ask) Ask(std::move(round));
    if (finished_.empty()) Sleep(next);
  }
}

void Resolver::TakeRound(const Round& round, Instant now, std::vector<ResolvedName>& changed) {
  const auto it = names_.find(round.name);
  if (it == names_.end() || it->second.id != round.id) return;  // it was dropped meanwhile
  Name& entry = it->second;
  const ResolvedName before = entry.state.Known();
  entry.state.Take(*round.v4, round.v6, config_, now);
  if (ResolvedName known = entry.state.Known(); Differ(before, known)) {
    changed.push_back(std::move(known));
  }
  Schedule(round.name, entry);
}

void Resolver::TakeDue(Instant now, std::vector<ResolvedName>& changed,
                       std::vector<Round>& to_ask) {
  while (!due_.empty() && due_.begin()->first <= now &&
         rounds_.size() + to_ask.size() < kMaxUnderWay) {
    const std::string name = due_.begin()->second;
    Name& entry = names_.at(name);
    const ResolvedName before = entry.state.Known();
    entry.state.Age(now);
    if (ResolvedName known = entry.state.Known(); Differ(before, known)) {
      changed.push_back(std::move(known));
    }
    if (entry.state.ask_at() > now) {
      Schedule(name, entry);
      continue;
    }
    due_.erase(due_.begin());
    to_ask.push_back({.name = name, .id = entry.id});
  }
}

void Resolver::Tell(const std::vector<Round>& finished, const std::vector<ResolvedName>& changed) {
  for (const ResolvedName& known : changed) on_answer_(known);
  if (finished.empty()) return;
  const std::lock_guard lock(mutex_);
  for (const Round& round : finished) {
    const auto it = names_.find(round.name);
    if (it != names_.end() && it->second.id == round.id) it->second.heard = true;
  }
  heard_.notify_all();
}

void Resolver::Ask(Round round) {
  const uint64_t id = round.id;
  const std::string name = round.name;
  rounds_.emplace(id, std::move(round));
  // c-ares may answer before it returns, so it is the second answer that ends the round.
  const auto ask = [&](bool v6) {
    channel_->Ask(name, v6, [this, id, v6](DnsReply reply) {
      const auto it = rounds_.find(id);
      (v6 ? it->second.v6 : it->second.v4) = std::move(reply);
      if (!it->second.v4 || (config_.ipv6 && !it->second.v6)) return;
      finished_.push_back(std::move(it->second));
      rounds_.erase(it);
    });
  };
  ask(false);
  if (config_.ipv6) ask(true);
}

void Resolver::Sleep(Instant until) {
  std::vector<pollfd> polled = channel_->Polled();
  polled.push_back({.fd = wake_.first.get(), .events = POLLIN, .revents = 0});
  std::optional<milliseconds> wait = channel_->Timeout();
  if (until != Instant::max()) {
    const auto due =
        std::max(milliseconds(0), std::chrono::ceil<milliseconds>(until - steady_clock::now()));
    wait = wait ? std::min(*wait, due) : due;
  }
  const int timeout = wait ? static_cast<int>(std::min<int64_t>(wait->count(), INT_MAX)) : -1;
  const int ready = ::poll(polled.data(), polled.size(), timeout);
  const bool woken = ready > 0 && polled.back().revents != 0;
  polled.pop_back();
  if (woken) {
    const std::lock_guard lock(mutex_);
    char byte = 0;
    [[maybe_unused]] const ssize_t ignored = ::read(wake_.first.get(), &byte, 1);
    woken_ = false;
  }
  if (ready >= 0) channel_->Process(polled);
}

}  // namespace claw::network
