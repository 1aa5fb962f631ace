#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "agent/base/status.h"
#include "agent/base/unique_fd.h"
#include "drivers/network/dns_channel.h"
#include "drivers/network/name_state.h"
#include "drivers/network/network.h"
#include "drivers/network/resolver_config.h"

namespace claw::network {

// Keeps the addresses of a set of DNS names up to date. What was answered holds for the time that
// the answer says (within bounds), then it is asked for again; the old addresses stay until there
// is a new answer. One that is "no such name" removes them at once; if there is none, they are kept
// for max_stale longer.
//
// Thread-safe. One thread of its own, asleep until an answer comes or a question is due; with
// nothing wanted it does nothing.
class Resolver {
 public:
  // Names that are asked for at one time; others wait.
  static constexpr size_t kMaxUnderWay = 64;

  // Asks in the network namespace of the calling thread. `on_answer` comes from the resolver's
  // thread, without a lock held, when the addresses or the problem of a name are others than
  // before; it may call everything but WaitFor and the destructor. It may still come for a name
  // that is being dropped by Want. INVALID_ARGUMENT: bad servers, port or times.
  static StatusOr<std::unique_ptr<Resolver>> Make(
      ResolverConfig config, std::function<void(const ResolvedName&)> on_answer);

  Resolver(ResolverConfig config, std::function<void(const ResolvedName&)> on_answer,
           std::unique_ptr<DnsChannel> channel, std::pair<UniqueFd, UniqueFd> wake);  // for Make
  ~Resolver();  // drops what is under way: `on_answer` is not called any more when it returns
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  // Replaces the names wanted: new ones are asked for at once, others forgotten. They are lower
  // case, without a dot at the end. Returns at once.
  void Want(std::set<std::string> names);

  // What is known of the names wanted; of those that were not answered yet, that as the problem.
  std::map<std::string, ResolvedName> Answers() const;

  // Waits until each of these names has been answered or has failed, and `on_answer` has returned
  // from that. False: it was not so within `at_most`, or one of them is not wanted (any more). Not
  // with a lock held that `on_answer` takes.
  bool WaitFor(const std::set<std::string>& names, std::chrono::milliseconds at_most);

 private:
  using Instant = NameState::Instant;

  struct Name {
    NameState state;
    uint64_t id = 0;  // a name that is dropped and wanted again has another
    Instant due{};    // as in due_
    bool heard = false;
  };
  // The questions for one name: its own, and the replies so far.
  struct Round {
    std::string name{};
    uint64_t id = 0;
    std::optional<DnsReply> v4{};
    std::optional<DnsReply> v6{};
  };

  void Wake();
  void Loop();
  void Schedule(const std::string& name, Name& entry);
  // With the lock held: what has become of names, and which to ask for now.
  void TakeRound(const Round& round, Instant now, std::vector<ResolvedName>& changed);
  void TakeDue(Instant now, std::vector<ResolvedName>& changed, std::vector<Round>& to_ask);
  // Without.
  void Tell(const std::vector<Round>& finished, const std::vector<ResolvedName>& changed);
  void Ask(Round round);
  void Sleep(Instant until);

  const ResolverConfig config_;
  const std::function<void(const ResolvedName&)> on_answer_;
  const std::pair<UniqueFd, UniqueFd> wake_;  // a pipe

  mutable std::mutex mutex_;
  std::condition_variable heard_;
  bool ending_ = false;
  bool woken_ = false;  // there is a byte in the pipe
  uint64_t next_id_ = 1;
  std::map<std::string, Name> names_;
  std::set<std::pair<Instant, std::string>> due_;  // all that are not being asked for

  // The thread's own.
  std::map<uint64_t, Round> rounds_;  // under way, by id
  std::vector<Round> finished_;
  std::unique_ptr<DnsChannel> channel_;
  std::thread thread_;
};

}  // namespace claw::network
