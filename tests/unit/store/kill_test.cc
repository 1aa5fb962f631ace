#include <unistd.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <csignal>
#include <random>
#include <set>

#include "agent/base/subprocess.h"
#include "tests/unit/store/fixture.h"

namespace claw::store::testing {
namespace {

// The numbers that the child prints until its end, one a line. Kills it after `kill_after` of them.
std::vector<int64_t> KillAfter(const Process& child, int pipe, size_t kill_after) {
  std::string text;
  std::array<char, 4096> buffer{};
  bool killed = false;
  while (true) {
    const ssize_t got = ::read(pipe, buffer.data(), buffer.size());
    if (got <= 0) break;
    text.append(buffer.data(), static_cast<size_t>(got));
    const auto lines = static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
    if (lines >= kill_after && !killed) killed = child.Signal(SIGKILL).ok();
  }
  text.resize(text.rfind('\n') + 1);
  std::vector<int64_t> numbers;
  for (const std::string_view line : Split(text, '\n', true)) {
    int64_t number = 0;
    if (ParseInt(line, &number)) numbers.push_back(number);
  }
  return numbers;
}

// Invariant I3.
TEST_CASE("kill -9 loses no acknowledged write") {
  const TempFolder folder;
  std::set<int64_t> acknowledged;
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::minstd_rand random(seed);
  for (int round = 0; round < 8; ++round) {
    const int64_t start = acknowledged.empty() ? 1 : *acknowledged.rbegin() + 100;
    auto [read_end, write_end] = MakePipe().value();
    Process child = Spawn({.argv = {CLAW_STORE_KILL_CHILD, folder.database(), StrCat(start)},
                           .descriptors = {{write_end.get(), STDOUT_FILENO}}})
                        .value();
    write_end.reset();
    const size_t kill_after = std::uniform_int_distribution<size_t>(1, 400)(random);
    const std::vector<int64_t> numbers = KillAfter(child, read_end.get(), kill_after);
    REQUIRE(child.Wait().value() == 128 + SIGKILL);
    REQUIRE(numbers.size() >= kill_after);
    acknowledged.insert(numbers.begin(), numbers.end());

    const auto store = MustOpen(folder.database());
    REQUIRE(store->quarantined().empty());
    const Snapshot snapshot = store->TakeSnapshot();
    std::set<std::string> names;
    for (const Tenant& tenant : snapshot.tenants) names.insert(tenant.name);
    const auto missing = std::count_if(acknowledged.begin(), acknowledged.end(),
                                       [&](int64_t n) { return !names.contains(StrCat("t", n)); });
    REQUIRE(missing == 0);
    REQUIRE(snapshot.last_revision >= *acknowledged.rbegin());
  }
}

TEST_CASE("a database that another process has open is not opened") {
  const TempFolder folder;
  auto [read_end, write_end] = MakePipe().value();
  Process child = Spawn({.argv = {CLAW_STORE_KILL_CHILD, folder.database(), "1"},
                         .descriptors = {{write_end.get(), STDOUT_FILENO}}})
                      .value();
  write_end.reset();
  char first = 0;
  REQUIRE(::read(read_end.get(), &first, 1) == 1);  // it has acknowledged a write
  const Status refused = Store::Open({.path = folder.database()}).status();
  CHECK(refused.code() == StatusCode::kUnavailable);
  (void)KillAfter(child, read_end.get(), 1);
  CHECK(child.Wait().value() == 128 + SIGKILL);
  CHECK(Store::Open({.path = folder.database()}).ok());
}

}  // namespace
}  // namespace claw::store::testing
