#include "drivers/network/linux/rule_watch.h"

#include <nftables/libnftables.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "agent/base/strings.h"
#include "agent/base/subprocess.h"
#include "tests/support/own_network.h"

namespace claw::network {
namespace {

constexpr char kTable[] = "clawtest";

// How often the watch has called.
class Calls {
 public:
  void Add() {
    const std::lock_guard lock(mutex_);
    ++count_;
    changed_.notify_all();
  }

  int WaitFor(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(20), [&] { return count_ >= count; });
    return count_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int count_ = 0;
};

// By a program of its own.
void ByOthers(const std::string& commands) {
  const auto result = RunOrError({.argv = {"nft", "-f", "-"}}, {.input = commands});
  INFO(commands << ": " << ToLogString(result.status()));
  REQUIRE(result.ok());
}

// By the thread that calls. Empty if it went well, otherwise what went wrong.
std::string InProcess(const std::string& commands) {
  const std::unique_ptr<nft_ctx, decltype(&nft_ctx_free)> context(nft_ctx_new(NFT_CTX_DEFAULT),
                                                                  nft_ctx_free);
  nft_ctx_buffer_error(context.get());
  if (nft_run_cmd_from_buffer(context.get(), commands.c_str()) == 0) return "";
  return StrCat("nft: ", nft_ctx_get_error_buffer(context.get()));
}

void ByUs(const std::string& commands) { REQUIRE(InProcess(commands) == ""); }

const std::string kRules = R"(
  table inet clawtest {
    set peers { type ipv4_addr; elements = { 192.0.2.1, 192.0.2.2, 192.0.2.3 } }
    counter seen { }
    chain out {
      type filter hook output priority 0;
      ip daddr @peers counter name seen accept
    }
  }
  table bridge clawtest {
    chain forward { type filter hook forward priority 0; }
  }
  table inet another {
    set peers { type ipv4_addr; elements = { 192.0.2.1, 192.0.2.2 } }
    chain out { type filter hook output priority 0; }
  }
  table ip clawtest {
    chain out { type filter hook output priority 0; }
  }
)";

TEST_CASE("rule watch: changes by others are told, each once") {
  if (!test::EnterOwnNetwork()) return;
  ByUs(kRules);
  Calls calls;
  const auto watch = RuleWatch::Start(kTable, [&] { calls.Add(); });
  INFO(ToLogString(watch.status()));
  REQUIRE(watch.ok());
  int told = 0;
  for (const char* commands : {
           "add rule inet clawtest out accept",
           "delete element inet clawtest peers { 192.0.2.1 }",
           "add element inet clawtest peers { 192.0.2.9 }",
           "flush set inet clawtest peers",
           "flush chain inet clawtest out",
           "add chain inet clawtest out { policy drop; }",
           "delete counter inet clawtest seen",
           "add table inet clawtest { flags dormant; }",
           "add rule bridge clawtest forward accept",
           "add rule inet clawtest out drop",
           "flush table inet clawtest",
           "delete table bridge clawtest",
           "delete table inet clawtest",
           "add table inet clawtest",
           "add table bridge clawtest",
           "flush ruleset",
       }) {
    ByOthers(commands);
    INFO(commands);
    // One transaction is one call, so one that came too often or too late shows in the next count.
    ++told;
    REQUIRE(calls.WaitFor(told) == told);
  }
}

TEST_CASE("rule watch: our own changes, and those of other tables, are not told") {
  if (!test::EnterOwnNetwork()) return;
  ByUs(kRules);
  Calls calls;
  const auto watch = RuleWatch::Start(kTable, [&] { calls.Add(); });
  REQUIRE(watch.ok());
  int told = 0;
  // The watch reads one thing after another: what was to be told before this has been told.
  const auto check_none = [&] {
    ByOthers("add rule inet clawtest out accept");
    ++told;
    REQUIRE(calls.WaitFor(told) == told);
  };
  SECTION("others change other tables") {
    for (const char* commands :
         {"add rule inet another out accept", "delete element inet another peers { 192.0.2.1 }",
          "add rule ip clawtest out accept", "delete table ip clawtest", "add table inet clawtest2",
          "add chain inet clawtest2 clawtest", "delete table inet another"}) {
      ByOthers(commands);
      INFO(commands);
      check_none();
    }
  }
  SECTION("we change ours, from this thread") {
    for (const char* commands :
         {"add rule inet clawtest out drop", "delete element inet clawtest peers { 192.0.2.1 }",
          "flush chain inet clawtest out", "delete table bridge clawtest"}) {
      ByUs(commands);
      INFO(commands);
      check_none();
    }
  }
  SECTION("we change ours, from another thread") {
    // It has to live until the watch has read its transaction.
    std::mutex gate;
    std::unique_lock closed(gate);
    Calls done;
    std::string result;
    std::thread thread([&] {
      result = InProcess("flush chain inet clawtest out");
      done.Add();
      const std::lock_guard wait(gate);
    });
    CHECK(done.WaitFor(1) == 1);
    ByOthers("add rule inet clawtest out accept");
    const int count = calls.WaitFor(1);
    closed.unlock();
    thread.join();
    CHECK(result == "");
    CHECK(count == 1);
  }
  SECTION("what is looked at, or refused, is no change") {
    ByOthers("list ruleset");
    CHECK(InProcess("delete table inet missing") != "");
    REQUIRE(RunOrError({.argv = {"nft", "delete", "table", "inet", "missing"}}).status().code() ==
            StatusCode::kInternal);
    ByOthers("reset counters table inet clawtest");
    check_none();
  }
}

TEST_CASE("rule watch: it does not see other network namespaces") {
  if (!test::EnterOwnNetwork()) return;
  ByUs(kRules);
  Calls calls;
  const auto watch = RuleWatch::Start(kTable, [&] { calls.Add(); });
  REQUIRE(watch.ok());
  bool entered = false;
  std::thread([&] {
    entered = ::unshare(CLONE_NEWNET) == 0;
    if (!entered) return;
    // Starts in the namespace of the thread.
    const auto result =
        RunOrError({.argv = {"nft", "-f", "-"}}, {.input = kRules + "flush ruleset"});
    entered = result.ok();
  }).join();
  CHECK(entered);
  ByOthers("flush ruleset");
  CHECK(calls.WaitFor(1) == 1);
}

TEST_CASE("rule watch: messages that were lost count as a change") {
  if (!test::EnterOwnNetwork()) return;
  ByUs(kRules);
  Calls calls;
  std::mutex gate;
  std::unique_lock closed(gate);  // the callback waits at it
  const auto watch = RuleWatch::Start(
      kTable,
      [&] {
        calls.Add();
        const std::lock_guard wait(gate);
      },
      16 << 10);
  REQUIRE(watch.ok());
  ByOthers("add rule inet clawtest out accept");
  CHECK(calls.WaitFor(1) == 1);
  std::string many;
  for (int i = 0; i < 2000; ++i)
    many += StrCat("add rule inet clawtest out tcp dport ", i, " drop\n");
  const std::string result = InProcess(many);
  closed.unlock();
  REQUIRE(result == "");
  CHECK(calls.WaitFor(2) >= 2);
  // And it goes on.
  ByOthers("flush ruleset");
  CHECK(calls.WaitFor(3) >= 3);
}

TEST_CASE("rule watch: it ends while there is something to read") {
  if (!test::EnterOwnNetwork()) return;
  ByUs(kRules);
  for (int i = 0; i < 20; ++i) {
    Calls calls;
    auto watch = RuleWatch::Start(kTable, [&] { calls.Add(); });
    REQUIRE(watch.ok());
    for (int j = 0; j < 20; ++j) ByUs("add rule inet another out accept");
    watch->reset();
    CHECK(calls.WaitFor(0) == 0);
  }
}

}  // namespace
}  // namespace claw::network
