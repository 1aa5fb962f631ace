#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "agent/base/unique_fd.h"

namespace claw::test {

// A DNS server on UDP that answers from a table as badly as a test wants. Thread-safe.
class DnsServer {
 public:
  struct Entry {
    std::vector<std::string> v4{};
    std::vector<std::string> v6{};
    uint32_t ttl_seconds = 0;
    std::string alias{};    // the addresses are those of this name, which the answer says
    int error = 0;          // of every kind: 2 SERVFAIL, 3 NXDOMAIN
    int v6_error = 0;       // of IPv6 alone
    bool silent = false;    // no answer
    bool nonsense = false;  // an answer that ends in the middle
  };

  // Throws if it cannot listen at 127.0.0.1, or at this address.
  explicit DnsServer(const std::string& address = "127.0.0.1", uint16_t port = 0);
  ~DnsServer();
  DnsServer(const DnsServer&) = delete;
  DnsServer& operator=(const DnsServer&) = delete;

  int port() const { return port_; }
  // What is asked for and not in the table is NXDOMAIN.
  void Set(const std::string& name, Entry entry);
  // Questions for this name so far, of both kinds.
  int Asked(const std::string& name) const;
  // Waits until there are this many more than now.
  bool WaitForMore(const std::string& name, int more);

 private:
  void Loop();
  // Empty: none.
  std::string Answer(std::string_view query);

  UniqueFd socket_;
  UniqueFd wake_;
  int port_ = 0;
  mutable std::mutex mutex_;
  std::map<std::string, Entry> table_;
  std::map<std::string, int> asked_;
  std::condition_variable changed_;
  std::thread thread_;
};

}  // namespace claw::test
