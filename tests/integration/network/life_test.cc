// How attachments come, change and go.

#include <sys/socket.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <filesystem>
#include <mutex>
#include <thread>

#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "drivers/network/linux/nft.h"
#include "tests/integration/network/world.h"

namespace claw::test {
namespace {

TEST_CASE("a policy that is replaced ends what it allows no more, and begins what it does") {
  World world;
  auto plan = world.Plan("s1", "a", Allow({"10.9.1.2:80"}, {"10.9.2.2:22"}));
  world.Connect(plan);
  world.Connect(world.Plan("s2", "a", Allow({"10.9.1.2:80"}, {"10.9.2.2:22"})));
  const auto s1 = world.Sandbox("s1");
  const auto out = world.Tcp(s1, world.Out1(), 80);
  const auto in = world.Tcp(world.Out2(), s1, 22);
  const auto others = world.Tcp(world.Sandbox("s2"), world.Out1(), 80);
  REQUIRE(out);
  REQUIRE(in);
  CHECK(world.Carries(out.client, out.server));
  CHECK(world.Carries(out.server, out.client));
  CHECK(world.Carries(in.client, in.server));
  CHECK(world.Carries(in.server, in.client));

  plan.layers[0].policy = Allow({"10.9.1.2:90"}, {"10.9.2.2:23"});
  REQUIRE(world.networks().Replace({plan}).ok());
  CHECK_FALSE(world.Carries(out.client, out.server));
  CHECK_FALSE(world.Carries(out.server, out.client));
  CHECK_FALSE(world.Carries(in.client, in.server));
  CHECK_FALSE(world.Carries(in.server, in.client));
  CHECK(world.Tcp(s1, world.Out1(), 90));
  CHECK_FALSE(world.Tcp(s1, world.Out1(), 80));
  CHECK(world.Tcp(world.Out2(), s1, 23));
  // Who shared the policy with it still has it.
  CHECK(world.Carries(others.client, others.server));

  // None at all.
  plan.layers.clear();
  REQUIRE(world.networks().Replace({plan}).ok());
  CHECK_FALSE(world.Tcp(s1, world.Out1(), 90));
}

TEST_CASE("while policies are replaced nothing passes that none of them allows") {
  World world;
  auto plan = world.Plan("s1", "a", Allow({"10.9.1.2:80/udp"}));
  world.Connect(plan);
  const auto s1 = world.Sandbox("s1");
  const UniqueFd denied = Socket(world.Out1().who, false, SOCK_DGRAM, "10.9.1.2", 99);
  const UniqueFd allowed = Socket(world.Out1().who, false, SOCK_DGRAM, "10.9.1.2", 80);
  const UniqueFd to_denied = Socket(s1.who, false, SOCK_DGRAM, "", 0);
  const UniqueFd to_allowed = Socket(s1.who, false, SOCK_DGRAM, "", 0);
  std::atomic<bool> ending = false;
  std::atomic<int64_t> sent = 0;
  std::thread sender([&] {
    while (!ending) {
      SendTo(to_denied, "10.9.1.2", 99, "no");
      SendTo(to_allowed, "10.9.1.2", 80, "yes");
      ++sent;
    }
  });
  for (int round = 0; round < 100; ++round) {
    // Another profile, another layer, one more layer, none that allows anything.
    const std::string port = StrCat("10.9.1.2:", 80 - round % 3, "/udp");
    plan.layers.assign(1, {.policy = Allow({port})});
    if (round % 4 == 0) plan.layers.push_back({.policy = Allow({"10.9.1.0/24:80/udp"})});
    if (round % 7 == 0) plan.layers.clear();
    CHECK(world.networks().Replace({plan}).ok());
    // All of them are written anew: the table that is gone does not judge policies.
    if (round % 20 == 0) RunHere({"nft", "delete", "table", "bridge", "clawt"});
    const int64_t before = sent;
    CHECK(Eventually([&] { return sent > before + 5; }));
  }
  CHECK(Eventually([] { return network::ListNft("list table bridge clawt").ok(); }));
  ending = true;
  sender.join();
  char buffer[8];
  CHECK(::recv(denied.get(), buffer, sizeof(buffer), MSG_DONTWAIT) < 0);
  CHECK(::recv(allowed.get(), buffer, sizeof(buffer), MSG_DONTWAIT) == 3);
}

TEST_CASE("Detach leaves nothing, however often and however early") {
  World world;
  REQUIRE(
      network::RunNft("table inet other { set s { type ipv4_addr; elements = { 1.2.3.4 }; }; }\n"
                      "table ip clawt { chain c { }; }")
          .ok());
  const auto others = network::ListNft("list table inet other");
  const std::string before = Rules();
  auto limited = Allow({"10.9.1.2:80", "tenant:80", "a.example:80"}, {"tenant"});
  limited.connections_max = 3;
  limited.egress_bytes_per_second = 1 << 20;
  limited.ingress_bytes_per_second = 1 << 20;
  limited.dns = true;
  auto first = world.Plan("s1", "a", limited);
  first.ports = {{.host_port = 8080, .sandbox_port = 80}};
  world.Connect(first);
  world.Connect(world.Plan("s2", "b", Allow({"::/0"})));
  REQUIRE(world.networks().Prepare(world.Plan("s3", "b", {})).ok());
  CHECK(RunHere({"iptables-save"}).find("8080") != std::string::npos);

  SECTION("after the sandbox has ended") {
    world.EndProcess("s1");
    world.EndProcess("s2");
  }
  SECTION("before") {}
  for (const std::string id : {"s1", "s2", "s3", "s1", "never"}) {
    const Status detached = world.networks().Detach(id);
    INFO(ToLogString(detached));
    CHECK(detached.ok());
  }
  CHECK(Leftovers(world).empty());
  CHECK(Rules() == before);
  CHECK(RunHere({"iptables-save"}).find("8080") == std::string::npos);
  CHECK(*network::ListNft("list table inet other") == *others);
  CHECK(network::ListNft("list table ip clawt").ok());
}

TEST_CASE("after a restart what was adopted goes on, and the rest is removed") {
  World world;
  auto plan = world.Plan("s1", "a", Allow({"10.9.1.2:80"}));
  const NetworkAttachment at = world.Connect(plan);
  world.Connect(world.Plan("s2", "a", Allow({"10.9.1.2:80"})));
  world.EndProcess("s2");
  // One that has ended, but whose sandbox is still there to be ended.
  auto ended = world.Plan("s0", "a", Allow({"10.9.1.2:80"}));
  const NetworkAttachment ended_at = world.Connect(ended);
  world.EndProcess("s0");
  REQUIRE(Eventually([&] {
    return RunHere({"ip", "-o", "link"}).find(ended_at.host_interface) == std::string::npos;
  }));
  // A crash between the plugin and the file that says so.
  REQUIRE(RemoveTree(world.run_dir() / "s2").ok());
  REQUIRE(EnsureDirectory(world.run_dir() / "half").ok());
  const auto stream = world.Tcp(world.Sandbox("s1"), world.Out1(), 80);
  CHECK_FALSE(world.Tcp(world.Sandbox("s1"), world.Out1(), 81));
  const auto counts = world.Counts("s1");

  world.Restart();
  REQUIRE_FALSE(world.networks().Attach(world.Plan("s4", "a", {}), Nobody().pid()).ok());
  CHECK(world.networks().Detach("s4").ok());
  CHECK(world.networks().Adopt(ended, ended_at).ok());
  CHECK(world.networks().Adopt(plan, at).ok());
  const auto removed = world.networks().Reconcile();
  INFO(ToLogString(removed.status()));
  REQUIRE(removed.ok());
  CHECK(*removed == std::vector<std::string>{"half", "s2"});
  CHECK(world.Counts("s1").sent.packets >= counts.sent.packets);
  CHECK(world.Counts("s1").received.packets >= counts.received.packets);
  CHECK(world.Counts("s1").egress_denied.packets >= counts.egress_denied.packets);
  CHECK(world.Carries(stream.client, stream.server));
  CHECK(world.Carries(stream.server, stream.client));
  CHECK_FALSE(world.Tcp(world.Sandbox("s1"), world.Out1(), 81));
  CHECK(world.networks().Detach("s0").ok());
  CHECK(world.networks().Detach("s1").ok());
  CHECK(Leftovers(world).empty());
}

TEST_CASE("a range that is used up is told as such") {
  World world("10.222.0.0/29");  // 8 addresses, less three
  for (int i = 0; i < 5; ++i) {
    world.Connect(world.Plan(StrCat("s", i), "a", Allow({"10.9.1.2:80"})));
  }
  const auto plan = world.Plan("s5", "a", Allow({"10.9.1.2:80"}));
  const Nobody nobody;
  const auto attached = world.networks().Attach(plan, nobody.pid());
  INFO(ToLogString(attached.status()));
  REQUIRE_FALSE(attached.ok());
  CHECK(attached.status().code() == StatusCode::kResourceExhausted);
  CHECK(GetErrorDetail(attached.status())->reason == "ADDRESSES_EXHAUSTED");
  CHECK(GetErrorDetail(attached.status())->available == "0 addresses");
  CHECK(world.networks().Detach("s5").ok());
  CHECK(world.networks().Detach("s0").ok());
  CHECK(world.networks().Attach(plan, nobody.pid()).ok());
}

TEST_CASE("a range of two bridges: one is used up, the next is taken") {
  World world("10.222.0.0/21");
  // Somebody's addresses that this agent knows nothing of.
  REQUIRE(EnsureDirectory(world.run_dir() / "ipam" / "clawt0").ok());
  for (int i = 0; i < 1022; ++i) {
    const std::string address =
        ToString(AddressAt(*ParseIpPrefix("10.222.0.0/22"), static_cast<uint64_t>(i) + 2));
    REQUIRE(WriteFileAtomic(world.run_dir() / "ipam" / "clawt0" / address, "x\r\neth0").ok());
  }
  const NetworkAttachment at = world.Connect(world.Plan("s1", "a", Allow({"10.9.1.2:80"})));
  CHECK(at.bridge == "clawt1");
  CHECK(world.Tcp(world.Sandbox("s1"), world.Out1(), 80));
}

TEST_CASE("rules that somebody flushes come back") {
  World world;
  std::mutex mutex;
  std::vector<std::string> repaired;
  world.events.on_repaired = [&](const std::string& how) {
    const std::lock_guard lock(mutex);
    repaired.push_back(how);
  };
  const auto repairs = [&] {
    const std::lock_guard lock(mutex);
    return repaired.size();
  };
  world.Restart();
  REQUIRE(world.networks().Reconcile().ok());
  auto plan = world.Plan("s1", "a", Allow({"10.9.1.2:80"}));
  plan.ports = {{.host_port = 8080, .sandbox_port = 80}};
  world.Connect(plan);
  CHECK_FALSE(world.Tcp(world.Sandbox("s1"), world.Out1(), 81));
  const auto counts = world.Counts("s1");

  SECTION("all of them") { RunHere({"nft", "flush", "ruleset"}); }
  SECTION("one element") { RunHere({"nft", "flush map inet clawt to4"}); }
  SECTION("one rule more") { RunHere({"nft", "insert rule inet clawt forward accept"}); }
  SECTION("the tables, by someone who has others") {
    RunHere({"nft", "delete table inet clawt; add table inet x"});
  }
  REQUIRE(Eventually([&] { return repairs() == 1; }));
  CHECK(world.Tcp(world.Sandbox("s1"), world.Out1(), 80));
  CHECK_FALSE(world.Tcp(world.Sandbox("s1"), world.Out1(), 81));
  CHECK(world.Counts("s1").egress_denied.packets > counts.egress_denied.packets);
  CHECK(RunHere({"iptables-save"}).find("8080") != std::string::npos);
  // What changes nothing is no repair.
  RunHere({"nft", "add chain inet clawt forward"});
  RunHere({"nft", "insert rule inet clawt forward accept"});
  REQUIRE(Eventually([&] { return repairs() == 2; }));
  CHECK(world.networks().Detach("s1").ok());
}

TEST_CASE("rules that cannot be brought back: nothing passes until they are") {
  World world;
  std::mutex mutex;
  std::vector<std::string> told;
  world.events.on_unprotected = [&](const std::string& why, const std::vector<std::string>& ids) {
    const std::lock_guard lock(mutex);
    told.push_back(StrCat("unprotected ", Join(ids, ","), " ", why));
  };
  world.events.on_repaired = [&](const std::string& how) {
    const std::lock_guard lock(mutex);
    told.push_back(StrCat("repaired ", how));
  };
  const auto has_told = [&](std::string_view what) {
    const std::lock_guard lock(mutex);
    return std::any_of(told.begin(), told.end(),
                       [what](const std::string& one) { return one.starts_with(what); });
  };
  world.Restart();
  REQUIRE(world.networks().Reconcile().ok());
  const NetworkAttachment port = world.Connect(world.Plan("s1", "a", Allow({"10.9.1.2:80"})));
  const auto is_up = [&] {
    return RunHere({"ip", "-o", "link", "show", port.host_interface}).find(",UP") !=
           std::string::npos;
  };
  CHECK(is_up());
  // A table of this name that is another process's own: the kernel lets nobody else change it.
  auto pipe = MakePipe();
  REQUIRE(pipe.ok());
  ProcessSpec spec;
  spec.argv = {"nft", "-i"};
  spec.descriptors = {{pipe->first.get(), 0}};
  auto thief = Spawn(spec);
  REQUIRE(thief.ok());
  const std::string script = "delete table inet clawt; add table inet clawt { flags owner; }\n";
  REQUIRE(::write(pipe->second.get(), script.data(), script.size()) ==
          static_cast<ssize_t>(script.size()));
  CHECK(Eventually([&] { return has_told("unprotected s1 "); }));
  CHECK(Eventually([&] { return !is_up(); }));
  // With its owner the table goes.
  pipe->second.reset();
  thief->Wait().status().IgnoreError();
  CHECK(Eventually([&] { return has_told("repaired"); }));
  CHECK(Eventually(is_up));
  CHECK(Eventually([&] { return bool(world.Tcp(world.Sandbox("s1"), world.Out1(), 80)); }));
}

TEST_CASE("what is denied is told of") {
  World world;
  std::mutex mutex;
  std::vector<network::Denial> denials;
  world.events.on_denied = [&](const network::Denial& denial) {
    const std::lock_guard lock(mutex);
    denials.push_back(denial);
  };
  world.Restart();
  REQUIRE(world.networks().Reconcile().ok());
  world.Connect(world.Plan("s1", "a", Allow({"10.9.1.2:80"})));
  world.Connect(world.Plan("s2", "a", Allow({"10.9.1.2:80"})));
  CHECK_FALSE(world.Udp(world.Sandbox("s1"), world.Out1(), 81));
  CHECK_FALSE(world.Udp(world.Out2(true), world.Sandbox("s2", true), 82));
  REQUIRE(Eventually([&] {
    const std::lock_guard lock(mutex);
    return denials.size() >= 2;
  }));
  const std::lock_guard lock(mutex);
  CHECK(denials[0].id == "s1");
  CHECK(denials[0].egress);
  CHECK(denials[0].peer == "10.9.1.2");
  CHECK(denials[0].port == 81);
  CHECK(denials[0].protocol == "udp");
  CHECK(denials[1].id == "s2");
  CHECK_FALSE(denials[1].egress);
  CHECK(denials[1].peer == "fd09:2::2");
}

TEST_CASE("bounds of connections and of bytes") {
  World world;
  auto policy = Allow({"10.9.1.2:80", "10.9.1.2:81/udp"});
  policy.connections_max = 2;
  auto plan = world.Plan("s1", "a", policy);
  policy.connections_max = 10;
  policy.egress_bytes_per_second = kMaxBytesPerSecond;
  policy.ingress_bytes_per_second = kMaxBytesPerSecond;
  plan.layers.push_back({.policy = policy});
  world.Connect(plan);
  policy.egress_bytes_per_second = kMinBytesPerSecond;
  world.Connect(world.Plan("s2", "a", policy));
  const auto one = world.Tcp(world.Sandbox("s1"), world.Out1(), 80);
  const auto two = world.Tcp(world.Sandbox("s1"), world.Out1(), 80);
  REQUIRE(one);
  REQUIRE(two);
  CHECK_FALSE(world.Tcp(world.Sandbox("s1"), world.Out1(), 80));
  CHECK(world.Carries(one.client, one.server));
  CHECK(world.Tcp(world.Sandbox("s2"), world.Out1(), 80));
  // Faster than it may: sooner or later some is dropped.
  const UniqueFd server = Socket(world.Out1().who, false, SOCK_DGRAM, "10.9.1.2", 81);
  const UniqueFd client = Socket(world.Sandbox("s2").who, false, SOCK_DGRAM, "", 0);
  REQUIRE(Eventually([&] {
    for (int i = 0; i < 50; ++i) SendTo(client, "10.9.1.2", 81, std::string(1000, 'x'));
    return world.Counts("s2").egress_limited.packets > 0;
  }));
  CHECK(world.Counts("s2").egress_denied.packets == 0);
}

TEST_CASE("an agent's own namespace is nobody's sandbox") {
  World world;
  CHECK_FALSE(world.networks().Attach(world.Plan("s1", "a", {}), ::getpid()).ok());
}

TEST_CASE("a port of the host leads into a sandbox, under its policy") {
  World world;
  auto plan = world.Plan("s1", "a", Allow({}, {"10.9.1.0/24:80"}));
  plan.ports = {{.host_port = 8080, .sandbox_port = 80}};
  world.Connect(plan);
  const auto s1 = world.Sandbox("s1");
  const UniqueFd listener = Socket(s1.who, false, SOCK_STREAM, s1.address, 80);
  REQUIRE(::listen(listener.get(), 8) == 0);
  CHECK(world.Reaches(world.Out1(), "10.9.1.1", 8080));
  const int64_t before = world.Counts("s1").ingress_denied.packets;
  CHECK_FALSE(world.Reaches(world.Out2(), "10.9.2.1", 8080));
  CHECK(world.Counts("s1").ingress_denied.packets > before);
}

}  // namespace
}  // namespace claw::test
