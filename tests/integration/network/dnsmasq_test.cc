#include <signal.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "agent/base/strings.h"
#include "agent/base/subprocess.h"
#include "tests/integration/network/resolver_fixture.h"
#include "tests/support/own_network.h"
#include "tests/support/temp_dir.h"

namespace claw::network {
namespace {

using Strings = std::vector<std::string>;

constexpr int kPort = 15353;  // the network is the test's own

// A dnsmasq that knows the names in a file of hosts, below .test, with a time of one second.
class Dnsmasq {
 public:
  explicit Dnsmasq(const std::string& hosts) {
    WriteHosts(hosts);
    auto started = Spawn(
        {.argv = {"dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--user=root",
                  "--pid-file=", "--no-resolv", "--no-hosts", "--local=/test/", "--local-ttl=1",
                  "--bind-interfaces", "--listen-address=127.0.0.1", StrCat("--port=", kPort),
                  StrCat("--addn-hosts=", (dir_.path() / "hosts").string())}});
    INFO(ToLogString(started.status()));
    REQUIRE(started.ok());
    process_ = std::move(*started);
  }
  ~Dnsmasq() { Stop(); }
  Dnsmasq(const Dnsmasq&) = delete;
  Dnsmasq& operator=(const Dnsmasq&) = delete;

  void Change(const std::string& hosts) {
    WriteHosts(hosts);
    CHECK(process_.Signal(SIGHUP).ok());
  }

  void Stop() {
    if (process_.pid() <= 0) return;
    CHECK(process_.Signal(SIGKILL).ok());
    CHECK(process_.Wait().ok());
    process_ = {};
  }

 private:
  void WriteHosts(const std::string& hosts) {
    std::ofstream(dir_.path() / "hosts", std::ios::trunc) << hosts;
  }

  test::TempDir dir_;
  Process process_;
};

ResolverConfig Config() {
  ResolverConfig config = Resolving::Config(kPort);
  config.max_ttl = std::chrono::hours(1);
  config.query_timeout = std::chrono::milliseconds(500);
  return config;
}

TEST_CASE("dnsmasq: an answer, another, no such name, and no server") {
  if (!test::EnterOwnNetwork()) return;
  Dnsmasq server("192.0.2.1 a.test\n192.0.2.2 a.test\n2001:db8::1 a.test\n192.0.2.3 b.test\n");
  Resolving resolver(Config());
  // It may not listen yet: then they are asked for again.
  resolver->Want({"a.test", "b.test", "missing.test"});
  CHECK(resolver.WaitForAddresses("a.test", {"192.0.2.1", "192.0.2.2", "2001:db8::1"})
            .problem.empty());
  CHECK(resolver.WaitForAddresses("b.test", {"192.0.2.3"}).problem.empty());
  resolver.WaitUntil("missing.test", [](const ResolvedName& answer) {
    return answer.problem == "there is no such name";
  });
  server.Change("192.0.2.9 a.test\n");
  CHECK(resolver.WaitForAddresses("a.test", {"192.0.2.9"}).problem.empty());
  CHECK(resolver.WaitForAddresses("b.test", {}).problem == "there is no such name");
  server.Stop();
  const ResolvedName kept = resolver.WaitUntil(
      "a.test", [](const ResolvedName& answer) { return !answer.problem.empty(); });
  CHECK(kept.addresses == Strings{"192.0.2.9"});
}

TEST_CASE("dnsmasq: two hundred names") {
  if (!test::EnterOwnNetwork()) return;
  std::string hosts;
  std::set<std::string> names;
  for (int i = 0; i < 200; ++i) {
    const std::string name = StrCat("n", i, ".test");
    hosts += StrCat("192.0.2.", i, " ", name, "\n");
    names.insert(name);
  }
  Dnsmasq server(hosts);
  Resolving resolver(Config());
  resolver->Want(names);
  CHECK(resolver->WaitFor(names, Resolving::kLong));
  for (int i = 0; i < 200; ++i) {
    resolver.WaitForAddresses(StrCat("n", i, ".test"), {StrCat("192.0.2.", i)});
  }
}

TEST_CASE("dnsmasq: an answer too long for a datagram comes over TCP") {
  if (!test::EnterOwnNetwork()) return;
  std::string hosts;
  std::set<std::string> addresses;
  for (int i = 1; i <= 100; ++i) {
    addresses.insert(StrCat("192.0.2.", i));
    hosts += StrCat("192.0.2.", i, " many.test\n");
  }
  Dnsmasq server(hosts);
  Resolving resolver(Config());
  resolver->Want({"many.test"});
  CHECK(
      resolver.WaitForAddresses("many.test", {addresses.begin(), addresses.end()}).problem.empty());
}

}  // namespace
}  // namespace claw::network
