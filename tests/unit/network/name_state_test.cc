#include "drivers/network/name_state.h"

#include <catch2/catch.hpp>

#include "agent/base/strings.h"

namespace claw::network {
namespace {

using Kind = DnsReply::Kind;
using std::chrono::seconds;
using Instant = NameState::Instant;

const Instant kBegin = Instant(seconds(1'000'000));
const ResolverConfig kConfig;

DnsReply Addresses(std::vector<std::string> addresses, int ttl) {
  return {.kind = Kind::kAddresses, .addresses = std::move(addresses), .ttl = seconds(ttl)};
}
const DnsReply kNone{.kind = Kind::kNone};
const DnsReply kNoSuchName{.kind = Kind::kNoSuchName};
const DnsReply kTimeout{.kind = Kind::kFailed, .problem = "timeout"};

// "ADDRESS, ADDRESS (PROBLEM)".
std::string Told(const NameState& state) {
  const ResolvedName known = state.Known();
  return StrCat(Join(known.addresses, ", "), known.problem.empty() ? "" : " (", known.problem,
                known.problem.empty() ? "" : ")");
}

int64_t SecondsTo(Instant when, Instant now = kBegin) {
  return std::chrono::duration_cast<seconds>(when - now).count();
}

TEST_CASE("name: asked for at once") {
  const NameState state("a.test", kBegin);
  CHECK(state.ask_at() == kBegin);
  CHECK(state.age_at() == Instant::max());
  CHECK(state.Known().name == "a.test");
  CHECK(Told(state) == " (it has not been answered yet)");
}

TEST_CASE("name: addresses are sorted, each once, and good for the shorter time") {
  NameState state("a.test", kBegin);
  state.Take(Addresses({"192.0.2.9", "192.0.2.1", "192.0.2.9"}, 300),
             Addresses({"2001:db8::1"}, 60), kConfig, kBegin);
  CHECK(Told(state) == "192.0.2.1, 192.0.2.9, 2001:db8::1");
  CHECK(SecondsTo(state.ask_at()) == 60);
  CHECK(state.age_at() == Instant::max());
  state.Take(Addresses({"192.0.2.9"}, 300), kNone, kConfig, kBegin);
  CHECK(Told(state) == "192.0.2.9");
  CHECK(SecondsTo(state.ask_at()) == 300);
}

TEST_CASE("name: the time that they are good for has bounds") {
  NameState state("a.test", kBegin);
  state.Take(Addresses({"192.0.2.9"}, 0), std::nullopt, kConfig, kBegin);
  CHECK(SecondsTo(state.ask_at()) == 5);
  state.Take(Addresses({"192.0.2.9"}, 2'000'000'000), std::nullopt, kConfig, kBegin);
  CHECK(SecondsTo(state.ask_at()) == 3600);
}

TEST_CASE("name: a failure keeps what there was, for so long") {
  NameState state("a.test", kBegin);
  state.Take(Addresses({"192.0.2.9"}, 100), Addresses({"2001:db8::1"}, 100), kConfig, kBegin);
  const Instant later = kBegin + seconds(100);
  state.Take(kTimeout, kTimeout, kConfig, later);
  CHECK(Told(state) == "192.0.2.9, 2001:db8::1 (timeout; what was answered before still holds)");
  CHECK(SecondsTo(state.ask_at(), later) == 5);
  CHECK(SecondsTo(state.age_at(), later) == 600);
  state.Take(kTimeout, kTimeout, kConfig, later + seconds(599));
  state.Age(later + seconds(599));
  CHECK(SecondsTo(state.age_at(), later) == 600);  // another failure does not prolong it
  CHECK(state.Known().addresses.size() == 2);
  state.Age(later + seconds(600));
  CHECK(Told(state) == " (timeout)");
  CHECK(state.age_at() == Instant::max());
  state.Take(Addresses({"192.0.2.10"}, 100), kNone, kConfig, later + seconds(601));
  CHECK(Told(state) == "192.0.2.10");
}

TEST_CASE("name: a failure of one kind keeps those of that kind") {
  NameState state("a.test", kBegin);
  state.Take(Addresses({"192.0.2.9"}, 100), Addresses({"2001:db8::1"}, 100), kConfig, kBegin);
  const Instant later = kBegin + seconds(100);
  state.Take(Addresses({"192.0.2.10"}, 1000), kTimeout, kConfig, later);
  CHECK(Told(state) ==
        "192.0.2.10, 2001:db8::1 (IPv6: timeout; what was answered before still holds)");
  CHECK(SecondsTo(state.ask_at(), later) == 5);
  state.Age(later + seconds(600));
  CHECK(Told(state) == "192.0.2.10 (IPv6: timeout)");
  state.Take(kTimeout, kNone, kConfig, later + seconds(601));
  CHECK(Told(state) == "192.0.2.10 (IPv4: timeout; what was answered before still holds)");
  CHECK(SecondsTo(state.age_at(), later) == 1600);  // from when it was no longer good
}

TEST_CASE("name: no such name removes all at once") {
  NameState state("a.test", kBegin);
  state.Take(Addresses({"192.0.2.9"}, 100), Addresses({"2001:db8::1"}, 100), kConfig, kBegin);
  SECTION("said of both") { state.Take(kNoSuchName, kNoSuchName, kConfig, kBegin); }
  SECTION("said of one") { state.Take(kTimeout, kNoSuchName, kConfig, kBegin); }
  CHECK(Told(state) == " (there is no such name)");
  CHECK(SecondsTo(state.ask_at()) == 5);
  CHECK(state.age_at() == Instant::max());
}

TEST_CASE("name: no such name is not believed beside addresses") {
  NameState state("a.test", kBegin);
  state.Take(Addresses({"192.0.2.9"}, 100), kNoSuchName, kConfig, kBegin);
  CHECK(Told(state) == "192.0.2.9");
  CHECK(SecondsTo(state.ask_at()) == 100);
}

TEST_CASE("name: no addresses") {
  NameState state("a.test", kBegin);
  state.Take(Addresses({"192.0.2.9"}, 100), kNone, kConfig, kBegin);
  state.Take(kNone, kNone, kConfig, kBegin);
  CHECK(Told(state) == " (it has no addresses)");
  CHECK(SecondsTo(state.ask_at()) == 5);
}

TEST_CASE("name: failures are asked again later and later, until an answer") {
  NameState state("a.test", kBegin);
  for (const int wait : {5, 10, 20, 40, 60, 60, 60}) {
    state.Take(kTimeout, kNone, kConfig, kBegin);
    CHECK(SecondsTo(state.ask_at()) == wait);
    CHECK(Told(state) == " (IPv4: timeout)");
  }
  state.Take(Addresses({"192.0.2.9"}, 100), kNone, kConfig, kBegin);
  state.Take(kTimeout, kTimeout, kConfig, kBegin + seconds(100));
  CHECK(SecondsTo(state.ask_at(), kBegin + seconds(100)) == 5);
}

}  // namespace
}  // namespace claw::network
