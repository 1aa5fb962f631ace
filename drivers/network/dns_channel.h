#pragma once

// Questions to DNS servers, with c-ares.

#include <poll.h>

#include <chrono>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/status.h"
#include "drivers/network/resolver_config.h"

struct ares_channeldata;

namespace claw::network {

struct DnsReply {
  enum class Kind {
    kAddresses,
    kNone,        // the name has no addresses of this kind
    kNoSuchName,  // there is no such name
    kFailed,      // it is not known: no server has said
  };
  Kind kind = Kind::kFailed;
  std::vector<std::string> addresses{};  // kAddresses: as they came, kMaxAddresses at most
  std::chrono::seconds ttl{0};           // kAddresses: the shortest on the way to them
  std::string problem{};                 // kFailed: why
};

// Not thread-safe: all calls from one thread, in whose network namespace the questions go out. (It
// may be made on another.) The owner polls for it.
class DnsChannel {
 public:
  static constexpr size_t kMaxAddresses = 256;  // of one answer; the rest is left out

  // INVALID_ARGUMENT: a server is not an address, or there is none.
  static StatusOr<std::unique_ptr<DnsChannel>> Open(const ResolverConfig& config);

  DnsChannel();   // for Open
  ~DnsChannel();  // drops the questions that are under way, without calling back
  DnsChannel(const DnsChannel&) = delete;
  DnsChannel& operator=(const DnsChannel&) = delete;

  // Asks for the name's IPv4 or IPv6 addresses. `on_reply` is called once, from Process or from Ask
  // itself; it must not call back. IPv4 addresses in IPv6's clothes are left out.
  void Ask(const std::string& name, bool v6, std::function<void(DnsReply)> on_reply);

  // What to poll for, and for how long at most. Nothing: no question is under way.
  std::vector<pollfd> Polled() const;
  std::optional<std::chrono::milliseconds> Timeout() const;
  // After the poll: reads, writes, gives up.
  void Process(const std::vector<pollfd>& polled);

 private:
  struct Question {
    bool v6 = false;
    std::function<void(DnsReply)> on_reply{};
    DnsChannel* channel = nullptr;
    std::list<Question>::iterator self{};
  };
  struct Destroy {
    void operator()(ares_channeldata* channel) const;
  };

  Status Init(const ResolverConfig& config);
  static void OnReply(void* question, int status, int timeouts, unsigned char* bytes, int size);
  static void OnSocket(void* self, int socket, int readable, int writable);

  // Both are used until the last moment of c-ares, so they come before it.
  std::list<Question> questions_;
  std::map<int, short> sockets_;  // what to poll each for
  std::unique_ptr<ares_channeldata, Destroy> channel_;
};

}  // namespace claw::network
