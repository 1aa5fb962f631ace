// How long things take with many sandboxes there. Measures, and asserts nothing about time: run by
// hand with "[.scale]".

#include <catch2/catch.hpp>
#include <chrono>
#include <functional>
#include <iostream>
#include <memory>

#include "agent/base/strings.h"
#include "drivers/network/linux/nft.h"
#include "drivers/network/linux/nft_look.h"
#include "drivers/network/ruleset.h"
#include "tests/integration/network/world.h"

namespace claw::test {
namespace {

void Measure(std::string_view what, const std::function<void()>& act) {
  const auto begin = std::chrono::steady_clock::now();
  act();
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
  std::cout << "  " << what << ": " << took.count() << " ms\n";
}

NetworkAttachment At(uint64_t n) {
  const std::string hex = StrCat(absl::Hex(n, absl::kZeroPad8));
  return {.ipv4 = ToString(AddressAt(*ParseIpPrefix("10.222.0.0/18"), n + 1)),
          .ipv6 = ToString(AddressAt(*ParseIpPrefix("fd22::/96"), n + 1)),
          .mac = StrCat("0a:58:", hex.substr(0, 2), ":", hex.substr(2, 2), ":", hex.substr(4, 2),
                        ":", hex.substr(6, 2)),
          .host_interface = StrCat("veth", hex),
          .bridge = "clawt0"};
}

TEST_CASE("transactions with many sandboxes", "[.scale]") {
  for (const auto& [members, policies] : {std::pair(1, 1), std::pair(500, 2), std::pair(500, 500),
                                          std::pair(4000, 2), std::pair(4000, 400)}) {
    World world("10.222.0.0/18");
    network::Ruleset ruleset(World::Config("10.222.0.0/18", world.run_dir()));
    const auto plan = [&](int n) {
      const std::string rule = StrCat("10.9.0.0/16:", n % policies + 1);
      return world.Plan(StrCat("s", n), "a", Allow({rule, "10.0.0.0/8:443"}, {rule}));
    };
    for (int n = 1; n <= members; ++n) ruleset.Add(plan(n), At(static_cast<uint64_t>(n)));
    std::cout << members << " sandboxes, " << policies << " policies\n";
    const auto run = [](const std::string& script) { REQUIRE(network::RunNft(script).ok()); };
    Measure("everything anew", [&] { run(ruleset.Whole({})); });
    Measure("everything anew, over itself", [&] { run(ruleset.Whole({})); });
    Measure("the verdicts", [&] { run(ruleset.Verdicts()); });
    const auto next = static_cast<uint64_t>(members) + 1;
    const std::string id = StrCat("s", next);
    auto last = plan(members + 1);
    Measure("one more, same policy", [&] { run(ruleset.Add(last, At(next))); });
    Measure("read back", [&] {
      auto look = network::NftLook::Open("clawt");
      REQUIRE(look.ok());
      for (const auto& hook : ruleset.hooks()) REQUIRE(look->CheckHook(hook).ok());
      for (const auto& wanted : ruleset.WantedOf(id)) REQUIRE(look->CheckElement(wanted).ok());
    });
    last.layers[0].policy = Allow({"10.1.0.0/16:1"});
    Measure("replace by a new policy", [&] { run(ruleset.Replace({last})); });
    Measure("remove it", [&] { run(ruleset.Remove(id)); });
    Measure("list both tables", [&] {
      REQUIRE(network::ListNft("list table inet clawt").ok());
      REQUIRE(network::ListNft("list table bridge clawt").ok());
    });
  }
}

TEST_CASE("attaching with 500 sandboxes there", "[.scale]") {
  World world("10.222.0.0/20");
  const auto plan = [&](int n) { return world.Plan(StrCat("s", n), "a", Allow({"10.9.0.0/16"})); };
  for (int n = 1; n <= 500; ++n) {
    if (n != 2 && n != 100 && n != 500) {
      world.Connect(plan(n));
      continue;
    }
    Measure(StrCat("number ", n), [&] { world.Connect(plan(n)); });
  }
  Measure("count", [&] { world.Counts("s1"); });
  Measure("detach", [&] { REQUIRE(world.networks().Detach("s7").ok()); });
  Measure("reconcile", [&] { REQUIRE(world.networks().Reconcile().ok()); });
}

}  // namespace
}  // namespace claw::test
