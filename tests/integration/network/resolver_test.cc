#include "drivers/network/resolver.h"

#include <catch2/catch.hpp>
#include <thread>

#include "agent/base/strings.h"
#include "tests/integration/network/resolver_fixture.h"
#include "tests/support/dns_server.h"
#include "tests/support/own_network.h"

namespace claw::network {
namespace {

using std::chrono::milliseconds;
using Strings = std::vector<std::string>;

constexpr auto kLong = Resolving::kLong;

bool HasProblem(const ResolvedName& answer) { return !answer.problem.empty(); }

TEST_CASE("resolver: addresses of both kinds, sorted, each once") {
  if (!test::EnterOwnNetwork()) return;
  test::DnsServer server;
  server.Set("a.test", {.v4 = {"192.0.2.9", "192.0.2.10", "192.0.2.9"},
                        .v6 = {"2001:db8::1", "::ffff:192.0.2.1"}});
  Resolving resolver(Resolving::Config(server.port()));
  CHECK(resolver->Answers().empty());
  CHECK(resolver->WaitFor({}, milliseconds(0)));
  resolver->Want({"a.test"});
  CHECK(resolver->Answers().count("a.test") == 1);
  REQUIRE(resolver->WaitFor({"a.test"}, kLong));
  const ResolvedName answer = resolver->Answers().at("a.test");
  CHECK(answer.name == "a.test");
  CHECK(answer.addresses == Strings{"192.0.2.10", "192.0.2.9", "2001:db8::1"});
  CHECK(answer.problem.empty());
  CHECK(resolver.Told("a.test") == 1);  // by the time that WaitFor returns
}

TEST_CASE("resolver: IPv4 alone if so configured") {
  if (!test::EnterOwnNetwork()) return;
  test::DnsServer server;
  server.Set("a.test", {.v4 = {"192.0.2.9"}, .v6 = {"2001:db8::1"}});
  ResolverConfig config = Resolving::Config(server.port());
  config.ipv6 = false;
  config.min_ttl = config.max_ttl = std::chrono::hours(1);
  Resolving resolver(config);
  resolver->Want({"a.test"});
  REQUIRE(resolver->WaitFor({"a.test"}, kLong));
  CHECK(resolver->Answers().at("a.test").addresses == Strings{"192.0.2.9"});
  CHECK(server.Asked("a.test") == 1);
}

TEST_CASE("resolver: only what is another answer is told") {
  if (!test::EnterOwnNetwork()) return;
  test::DnsServer server;
  server.Set("a.test", {.v4 = {"192.0.2.1", "192.0.2.2"}});
  Resolving resolver(Resolving::Config(server.port()));
  resolver->Want({"a.test"});
  REQUIRE(resolver->WaitFor({"a.test"}, kLong));
  server.Set("a.test", {.v4 = {"192.0.2.2", "192.0.2.1"}, .ttl_seconds = 7});
  CHECK(server.WaitForMore("a.test", 10));
  CHECK(resolver.Told("a.test") == 1);
  server.Set("a.test", {.v4 = {"192.0.2.3"}});
  resolver.WaitForAddresses("a.test", {"192.0.2.3"});
  CHECK(resolver.Told("a.test") == 2);
}

TEST_CASE("resolver: an alias is followed") {
  if (!test::EnterOwnNetwork()) return;
  test::DnsServer server;
  server.Set("a.test", {.v4 = {"192.0.2.1"}, .v6 = {"2001:db8::1"}, .alias = "cdn.example.net"});
  Resolving resolver(Resolving::Config(server.port()));
  resolver->Want({"a.test"});
  REQUIRE(resolver->WaitFor({"a.test"}, kLong));
  CHECK(resolver->Answers().at("a.test").addresses == Strings{"192.0.2.1", "2001:db8::1"});
}

TEST_CASE("resolver: a failure keeps the last answer, and is told of") {
  if (!test::EnterOwnNetwork()) return;
  test::DnsServer server;
  server.Set("a.test", {.v4 = {"192.0.2.1"}});
  Resolving resolver(Resolving::Config(server.port()));
  resolver->Want({"a.test"});
  REQUIRE(resolver->WaitFor({"a.test"}, kLong));
  std::string why;
  SECTION("SERVFAIL") {
    server.Set("a.test", {.error = 2});
    why = "have failed";
  }
  SECTION("REFUSED") {
    server.Set("a.test", {.error = 5});
    why = "have failed";
  }
  SECTION("silence") {
    server.Set("a.test", {.silent = true});
    why = "no DNS server answered in time";
  }
  SECTION("nonsense") {
    server.Set("a.test", {.v4 = {"192.0.2.2"}, .nonsense = true});
    why = "malformed";
  }
  const ResolvedName kept = resolver.WaitUntil("a.test", HasProblem);
  CHECK(kept.addresses == Strings{"192.0.2.1"});
  CHECK(kept.problem.find(why) != std::string::npos);
  CHECK(server.WaitForMore("a.test", 5));
  CHECK(resolver->Answers().at("a.test").addresses == Strings{"192.0.2.1"});
  server.Set("a.test", {.v4 = {"192.0.2.3"}});
  CHECK(resolver.WaitForAddresses("a.test", {"192.0.2.3"}).problem.empty());
}

TEST_CASE("resolver: what was kept for too long is removed, though nothing is answered") {
  if (!test::EnterOwnNetwork()) return;
  test::DnsServer server;
  server.Set("a.test", {.v4 = {"192.0.2.1"}});
  ResolverConfig config = Resolving::Config(server.port());
  config.max_stale = milliseconds(300);
  Resolving resolver(config);
  resolver->Want({"a.test"});
  REQUIRE(resolver->WaitFor({"a.test"}, kLong));
  server.Set("a.test", {.silent = true});
  CHECK(!resolver.WaitForAddresses("a.test", {}).problem.empty());
}

TEST_CASE("resolver: no such name removes the addresses, and it may come back") {
  if (!test::EnterOwnNetwork()) return;
  test::DnsServer server;
  server.Set("a.test", {.v4 = {"192.0.2.1"}, .v6 = {"2001:db8::1"}});
  Resolving resolver(Resolving::Config(server.port()));
  resolver->Want({"a.test"});
  REQUIRE(resolver->WaitFor({"a.test"}, kLong));
  server.Set("a.test", {.error = 3});
  resolver.WaitUntil("a.test", [](const ResolvedName& answer) {
    return answer.addresses.empty() && answer.problem == "there is no such name";
  });
  server.Set("a.test", {.v4 = {"192.0.2.1"}, .v6_error = 3});
  CHECK(resolver.WaitForAddresses("a.test", {"192.0.2.1"}).problem.empty());
  server.Set("a.test", {});
  CHECK(resolver.WaitForAddresses("a.test", {}).problem == "it has no addresses");
}

TEST_CASE("resolver: a name that is never answered") {
  if (!test::EnterOwnNetwork()) return;
  test::DnsServer server;
  server.Set("a.test", {.silent = true});
  server.Set("b.test", {.v4 = {"192.0.2.1"}});
  ResolverConfig config = Resolving::Config(server.port());
  SECTION("within the time") {
    config.query_timeout = kLong;
    Resolving resolver(config);
    resolver->Want({"a.test", "b.test"});
    CHECK(resolver->WaitFor({"b.test"}, kLong));
    CHECK_FALSE(resolver->WaitFor({"a.test", "b.test"}, milliseconds(50)));
    CHECK(resolver->Answers().at("a.test").problem == "it has not been answered yet");
    CHECK(resolver.Told("a.test") == 0);
  }
  SECTION("has failed in the end") {
    Resolving resolver(config);
    resolver->Want({"a.test", "b.test"});
    CHECK(resolver->WaitFor({"a.test", "b.test"}, kLong));
    CHECK(resolver->Answers().at("a.test").addresses.empty());
    CHECK(HasProblem(resolver->Answers().at("a.test")));
    CHECK(resolver->Answers().at("b.test").problem.empty());
  }
  SECTION("there is no server") {
    config.port = 1;
    Resolving resolver(config);
    resolver->Want({"a.test"});
    CHECK(resolver->WaitFor({"a.test"}, kLong));
    CHECK(HasProblem(resolver->Answers().at("a.test")));
  }
  SECTION("is not wanted") {
    Resolving resolver(config);
    resolver->Want({"b.test"});
    CHECK_FALSE(resolver->WaitFor({"a.test", "b.test"}, kLong));
  }
}

TEST_CASE("resolver: another server answers for one that does not") {
  if (!test::EnterOwnNetwork()) return;
  test::DnsServer first;
  test::DnsServer second("127.0.0.2", static_cast<uint16_t>(first.port()));
  second.Set("a.test", {.v4 = {"192.0.2.1"}});
  SECTION("it is silent") { first.Set("a.test", {.silent = true}); }
  SECTION("it fails") { first.Set("a.test", {.error = 2}); }
  ResolverConfig config = Resolving::Config(first.port());
  config.servers = {"127.0.0.1", "127.0.0.2"};
  Resolving resolver(config);
  resolver->Want({"a.test"});
  CHECK(resolver->WaitFor({"a.test"}, kLong));
  CHECK(resolver->Answers().at("a.test").addresses == Strings{"192.0.2.1"});
  CHECK(first.Asked("a.test") > 0);
}

TEST_CASE("resolver: more names than are asked for at one time") {
  if (!test::EnterOwnNetwork()) return;
  test::DnsServer server;
  std::set<std::string> names;
  for (int i = 1; i <= 200; ++i) {
    const std::string name = StrCat("n", i, ".test");
    server.Set(name, {.v4 = {StrCat("192.0.2.", i)}, .v6 = {StrCat("2001:db8::", i)}});
    names.insert(name);
  }
  ResolverConfig config = Resolving::Config(server.port());
  config.query_timeout = std::chrono::seconds(2);
  Resolving resolver(config);
  resolver->Want(names);
  REQUIRE(resolver->WaitFor(names, kLong));
  for (int i = 1; i <= 200; ++i) {
    CHECK(resolver->Answers().at(StrCat("n", i, ".test")).addresses ==
          Strings{StrCat("192.0.2.", i), StrCat("2001:db8::", i)});
  }
}

TEST_CASE("resolver: names that are no longer wanted are forgotten") {
  if (!test::EnterOwnNetwork()) return;
  test::DnsServer server;
  for (const char* name : {"a.test", "b.test", "c.test"}) server.Set(name, {.v4 = {"192.0.2.1"}});
  server.Set("silent.test", {.silent = true});
  Resolving resolver(Resolving::Config(server.port()));
  resolver->Want({"a.test", "b.test", "silent.test"});
  REQUIRE(resolver->WaitFor({"a.test", "b.test"}, kLong));
  resolver->Want({"b.test", "c.test"});
  CHECK(resolver->Answers().count("a.test") == 0);
  CHECK(resolver->Answers().at("b.test").addresses == Strings{"192.0.2.1"});  // is kept
  REQUIRE(resolver->WaitFor({"b.test", "c.test"}, kLong));
  // What was under way is over after some rounds of the others.
  CHECK(server.WaitForMore("c.test", 20));
  const int asked = server.Asked("a.test");
  const int asked_silent = server.Asked("silent.test");
  CHECK(server.WaitForMore("c.test", 20));
  CHECK(server.Asked("a.test") == asked);
  CHECK(server.Asked("silent.test") == asked_silent);

  // Wanted again, it is asked for again.
  server.Set("a.test", {.v4 = {"192.0.2.2"}});
  resolver->Want({"a.test"});
  CHECK(resolver->WaitFor({"a.test"}, kLong));
  CHECK(resolver->Answers().at("a.test").addresses == Strings{"192.0.2.2"});
  resolver->Want({});
  CHECK(resolver->Answers().empty());
}

TEST_CASE("resolver: WaitFor ends when a name is dropped") {
  if (!test::EnterOwnNetwork()) return;
  test::DnsServer server;
  server.Set("a.test", {.silent = true});
  ResolverConfig config = Resolving::Config(server.port());
  config.query_timeout = kLong;
  Resolving resolver(config);
  resolver->Want({"a.test"});
  bool all = true;
  std::thread waiter([&] { all = resolver->WaitFor({"a.test"}, std::chrono::hours(1)); });
  resolver->Want({});
  waiter.join();
  CHECK_FALSE(all);
}

TEST_CASE("resolver: it may end with questions under way") {
  if (!test::EnterOwnNetwork()) return;
  test::DnsServer server;
  std::set<std::string> names;
  for (int i = 0; i < 100; ++i) {
    names.insert(StrCat("n", i, ".test"));
    server.Set(StrCat("n", i, ".test"), {.v4 = {"192.0.2.1"}, .silent = i % 2 == 0});
  }
  for (int i = 0; i < 20; ++i) {
    Resolving resolver(Resolving::Config(server.port()));
    resolver->Want(names);
    if (i % 2 == 0) CHECK(resolver->WaitFor({"n1.test"}, kLong));
    resolver.Reset();
  }
}

TEST_CASE("resolver: it may be called from its callback") {
  if (!test::EnterOwnNetwork()) return;
  test::DnsServer server;
  server.Set("a.test", {.v4 = {"192.0.2.1"}});
  server.Set("b.test", {.v4 = {"192.0.2.2"}});
  std::mutex mutex;
  std::condition_variable changed;
  std::string seen;
  std::unique_ptr<Resolver> resolver;
  auto made = Resolver::Make(Resolving::Config(server.port()), [&](const ResolvedName& answer) {
    const std::lock_guard lock(mutex);
    resolver->Want({"a.test", "b.test"});
    seen += StrCat(answer.name, "=", Join(resolver->Answers().at(answer.name).addresses, ","), " ");
    changed.notify_all();
  });
  REQUIRE(made.ok());
  resolver = std::move(*made);
  resolver->Want({"a.test"});
  {
    std::unique_lock lock(mutex);
    CHECK(changed.wait_for(lock, kLong, [&] { return seen.find("b.test") != seen.npos; }));
    CHECK(seen == "a.test=192.0.2.1 b.test=192.0.2.2 ");
  }
  resolver.reset();
}

TEST_CASE("resolver: what cannot be is refused") {
  const auto make = [](const std::function<void(ResolverConfig&)>& change) {
    ResolverConfig config = Resolving::Config(53);
    change(config);
    return Resolver::Make(config, [](const ResolvedName&) {}).status().code();
  };
  constexpr auto kBad = StatusCode::kInvalidArgument;
  CHECK(make([](ResolverConfig&) {}) == StatusCode::kOk);
  CHECK(make([](ResolverConfig& c) { c.servers = {"::1", "127.0.0.1"}; }) == StatusCode::kOk);
  CHECK(make([](ResolverConfig& c) { c.servers = {}; }) == kBad);
  CHECK(make([](ResolverConfig& c) { c.servers = {"127.0.0.1", "dns.test"}; }) == kBad);
  CHECK(make([](ResolverConfig& c) { c.servers = {"127.0.0.1:53"}; }) == kBad);
  CHECK(make([](ResolverConfig& c) { c.port = 0; }) == kBad);
  CHECK(make([](ResolverConfig& c) { c.port = 65536; }) == kBad);
  CHECK(make([](ResolverConfig& c) { c.min_ttl = milliseconds(0); }) == kBad);
  CHECK(make([](ResolverConfig& c) { c.max_ttl = milliseconds(1); }) == kBad);
  CHECK(make([](ResolverConfig& c) { c.retry = milliseconds(0); }) == kBad);
  CHECK(make([](ResolverConfig& c) { c.max_retry = milliseconds(1); }) == kBad);
  CHECK(make([](ResolverConfig& c) { c.max_stale = milliseconds(-1); }) == kBad);
  CHECK(make([](ResolverConfig& c) { c.query_timeout = milliseconds(0); }) == kBad);
  CHECK(make([](ResolverConfig& c) { c.tries = 0; }) == kBad);
}

}  // namespace
}  // namespace claw::network
