#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "tests/e2e/agent.h"
#include "tests/integration/network/world.h"
#include "tests/support/dns_server.h"
#include "tests/support/own_network.h"

// Real sandboxes of both runtimes on a host in a network namespace of the test's own, with two
// other hosts behind it. What single packets may do is tests/integration/network's affair.

namespace claw::test {
namespace {

// Says its name to whoever connects, in a namespace of another host.
class Greeter {
 public:
  Greeter(const Nobody& host, std::string name, int port)
      : name_(std::move(name)), stop_(::eventfd(0, EFD_CLOEXEC)) {
    // Of both families.
    socket_ = Socket(&host, true, SOCK_STREAM, "::", port);
    REQUIRE(::listen(socket_.get(), 16) == 0);
    thread_ = std::thread([this] { Serve(); });
  }
  ~Greeter() {
    const uint64_t one = 1;
    if (::write(stop_.get(), &one, sizeof(one)) < 0) std::abort();
    thread_.join();
  }
  Greeter(const Greeter&) = delete;
  Greeter& operator=(const Greeter&) = delete;

 private:
  void Serve() {
    while (true) {
      pollfd polls[2] = {{stop_.get(), POLLIN, 0}, {socket_.get(), POLLIN, 0}};
      ::poll(polls, 2, -1);
      if (polls[0].revents != 0) return;
      const UniqueFd client(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      const std::string line = name_ + "\n";
      if (client.valid()) (void)::send(client.get(), line.data(), line.size(), MSG_NOSIGNAL);
    }
  }

  const std::string name_;
  UniqueFd stop_;
  UniqueFd socket_;
  std::thread thread_;
};

// The host's own side: the test's namespace, with "left" and "right" behind it.
class Place {
 public:
  Place() {
    for (const auto& [host, number, name] :
         {std::tuple(&left_, 1, "left"), std::tuple(&right_, 2, "right")}) {
      Ip(StrCat("link add ", name, " type veth peer name eth0 netns ", host->pid(), "\n",
                "addr add 10.9.", number, ".1/24 dev ", name, "\n", "addr add fd09:", number,
                "::1/64 dev ", name, " nodad\n", "link set ", name, " up\n"));
      host->Ip(StrCat("addr add 10.9.", number, ".2/24 dev eth0\n", "addr add fd09:", number,
                      "::2/64 dev eth0 nodad\n", "link set eth0 up\n", "link set lo up\n",
                      "route add default via 10.9.", number, ".1\n",
                      "route add default via fd09:", number, "::1\n"));
    }
    // All else is there, too, as far as the host knows.
    Ip("route add default via 10.9.1.2\nroute add default via fd09:1::2\n");
  }
  const Nobody& left() const { return left_; }
  const Nobody& right() const { return right_; }

 private:
  Nobody left_;
  Nobody right_;
};

struct Case {
  const char* tenant;
  const char* isolation;
};
constexpr Case kCases[] = {{"house", "ISOLATION_CLASS_CONTAINER"},
                           {"guest", "ISOLATION_CLASS_GVISOR"}};

// What somebody at this address says to a sandbox; empty: nobody answers.
std::string Ask(const Agent& agent, const std::string& sandbox, const std::string& address,
                int port) {
  const CommandResult asked = agent.Ctl(
      {"exec", sandbox, "--", "sh", "-c", StrCat("nc -w 2 ", address, " ", port, " </dev/null")});
  return std::string(Trim(asked.out));
}

nlohmann::json Shown(const Agent& agent, const std::string& sandbox) {
  return nlohmann::json::parse(agent.Must({"network", "show", sandbox, "-o", "json"}));
}

int64_t Count(const Agent& agent, const std::string& sandbox, const std::string& what) {
  const auto counters = Shown(agent, sandbox).value("counters", nlohmann::json::object());
  const auto packets = counters.value(what, nlohmann::json::object()).value("packets", "0");
  return std::stoll(packets);
}

// Interfaces, addresses and elements of sandboxes that are there now.
std::string Traces(const Agent& agent) {
  std::string traces;
  const std::vector<std::string> interfaces = ListDirectory("/proc/sys/net/ipv4/conf").value();
  for (const std::string& name : interfaces) {
    if (name.starts_with("veth")) traces += name + " ";
  }
  const std::vector<std::string> folders =
      ListDirectory(agent.dir() / "run/network").value_or(std::vector<std::string>());
  for (const std::string& name : folders) {
    if (name != "ipam") traces += name + " ";
  }
  const std::string rules = RunHere({"nft", "list", "ruleset"});
  for (const std::string_view line : Split(rules, '\n')) {
    if (line.find(" : jump ") != std::string_view::npos &&
        line.find("10.222.") != std::string_view::npos) {
      traces += std::string(Trim(line)) + " ";
    }
  }
  return traces;
}

TEST_CASE("sandboxes reach what their policy allows, and nothing else", "[e2e][network]") {
  if (!EnterOwnNetwork()) return;
  const Place place;
  const Greeter left(place.left(), "left", 8000);
  const Greeter other(place.left(), "other", 8001);
  const Greeter right(place.right(), "right", 8000);
  Agent agent;
  agent.Furnish();
  agent.Must({"network", "policy", "set", "web", "--allow-to", "10.9.1.2:8000-8001/tcp",
              "--allow-to", "[fd09:1::2]:8000/tcp", "--allow-to", "10.9.1.2/icmp"});
  for (const Case& one : kCases) {
    INFO(one.tenant);
    agent.Must({"tenant", "set", one.tenant, "--network-policy", "web"});
    agent.Must({"run", "-d", "--name", "box", "--tenant", one.tenant, "--memory", "64Mi",
                "--network", "bridge", "--image", "busybox", "--", "sleep", "1000"});
    CHECK(agent.Field("box", "/isolation_class") == one.isolation);
    CHECK(Ask(agent, "box", "10.9.1.2", 8000) == "left");
    CHECK(Ask(agent, "box", "10.9.1.2", 8001) == "other");
    CHECK(Ask(agent, "box", "fd09:1::2", 8000) == "left");
    CHECK(Count(agent, "box", "sent") > 0);
    CHECK(Count(agent, "box", "received") > 0);
    CHECK(Count(agent, "box", "egress_denied") == 0);
    // Another port of IPv6, another host, the host itself, its gateway, a cloud's metadata.
    int64_t denied = 0;
    for (const auto& [address, port] :
         {std::pair("fd09:1::2", 8001), std::pair("10.9.2.2", 8000), std::pair("fd09:2::2", 8000),
          std::pair("10.9.1.1", 8000), std::pair("10.222.0.1", 22),
          std::pair("169.254.169.254", 80)}) {
      INFO(address << " port " << port);
      CHECK(Ask(agent, "box", address, port).empty());
      const int64_t now = Count(agent, "box", "egress_denied");
      CHECK(now > denied);
      denied = now;
    }
    CHECK(agent.Must({"events"}).find("network.denied") != std::string::npos);
    CHECK(Count(agent, "box", "spoofed") == 0);
    // No raw sockets in there.
    CHECK(agent.Ctl({"exec", "box", "--", "ping", "-c", "1", "-W", "1", "10.9.2.2"}).exit_code !=
          0);

    // Narrowed while it runs, and widened again; never beyond the tenant's policy.
    agent.Must({"network", "set", "box", "--allow-to", "10.9.1.2:8001/tcp", "--allow-to",
                "10.9.2.2:8000/tcp"});
    CHECK(Ask(agent, "box", "10.9.1.2", 8000).empty());
    CHECK(Ask(agent, "box", "10.9.1.2", 8001) == "other");
    CHECK(Ask(agent, "box", "10.9.2.2", 8000).empty());
    agent.Must({"network", "set", "box", "--clear"});
    CHECK(Ask(agent, "box", "10.9.1.2", 8000) == "left");

    // A sandbox of nobody's policy, and one that asks for nothing.
    agent.Must({"run", "-d", "--name", "plain", "--tenant", one.tenant, "--memory", "32Mi",
                "--network", "none", "--image", "busybox", "--", "sleep", "1000"});
    CHECK(Ask(agent, "plain", "10.9.1.2", 8000).empty());
    agent.Must({"rm", "--force", "plain"});
    agent.Must({"rm", "--force", "box"});
    CHECK(Traces(agent).empty());
  }
}

TEST_CASE("rules come back when somebody flushes them, and stay when the agent is killed",
          "[e2e][network]") {
  if (!EnterOwnNetwork()) return;
  const Place place;
  const Greeter left(place.left(), "left", 8000);
  const Greeter right(place.right(), "right", 8000);
  Agent agent;
  agent.Furnish();
  agent.Must({"network", "policy", "set", "web", "--allow-to", "10.9.1.2:8000"});
  for (const Case& one : kCases) {
    agent.Must({"tenant", "set", one.tenant, "--network-policy", "web"});
    agent.Must({"run", "-d", "--name", StrCat(one.tenant, "-box"), "--tenant", one.tenant,
                "--memory", "64Mi", "--network", "bridge", "--image", "busybox", "--", "sleep",
                "1000"});
  }
  RunHere({"nft", "flush", "ruleset"});
  CHECK(Eventually(
      [&] { return agent.Must({"events"}).find("network.repaired") != std::string::npos; }));
  const auto works = [&] {
    for (const Case& one : kCases) {
      INFO(one.tenant);
      CHECK(Ask(agent, StrCat(one.tenant, "-box"), "10.9.1.2", 8000) == "left");
      CHECK(Ask(agent, StrCat(one.tenant, "-box"), "10.9.2.2", 8000).empty());
    }
  };
  works();
  const int64_t denied = Count(agent, "guest-box", "egress_denied");
  CHECK(denied > 0);

  agent.Kill9();
  const std::string rules = RunHere({"nft", "list", "ruleset"});
  CHECK(rules.find("table inet clawlet") != std::string::npos);
  agent.Start();
  CHECK(Count(agent, "guest-box", "egress_denied") >= denied);
  works();
  // Replaced for all sandboxes under it.
  agent.Must({"network", "policy", "set", "web", "--allow-to", "10.9.2.2:8000"});
  for (const Case& one : kCases) {
    INFO(one.tenant);
    CHECK(Ask(agent, StrCat(one.tenant, "-box"), "10.9.1.2", 8000).empty());
    CHECK(Ask(agent, StrCat(one.tenant, "-box"), "10.9.2.2", 8000) == "right");
  }
  // Gone while nobody looked: so is all that was theirs.
  agent.Kill9();
  agent.Start();
  for (const Case& one : kCases) agent.Must({"rm", "--force", StrCat(one.tenant, "-box")});
  CHECK(Traces(agent).empty());
}

TEST_CASE("neighbours: another tenant is never reached, a sandbox of the same one if allowed",
          "[e2e][network]") {
  if (!EnterOwnNetwork()) return;
  const Place place;
  Agent agent;
  agent.Furnish();
  agent.Must({"network", "policy", "set", "open", "--allow-to", "0.0.0.0/0", "--allow-to", "tenant",
              "--allow-from", "0.0.0.0/0"});
  for (const Case& one : kCases) {
    agent.Must({"tenant", "set", one.tenant, "--network-policy", "open"});
    for (const char* number : {"1", "2"}) {
      agent.Must({"run", "-d", "--name", StrCat(one.tenant, number), "--tenant", one.tenant,
                  "--memory", "64Mi", "--network", "bridge", "--image", "busybox", "--", "sh", "-c",
                  "while true; do echo neighbour | nc -l -p 8000; done"});
    }
  }
  const auto address = [&](const std::string& sandbox) {
    return Shown(agent, sandbox).at("status").at("ipv4_address").get<std::string>();
  };
  for (const Case& one : kCases) {
    INFO(one.tenant);
    const std::string mine = StrCat(one.tenant, "1");
    CHECK(Eventually(
        [&] { return Ask(agent, mine, address(StrCat(one.tenant, "2")), 8000) == "neighbour"; }));
  }
  CHECK(Ask(agent, "house1", address("guest2"), 8000).empty());
  CHECK(Ask(agent, "guest1", address("house2"), 8000).empty());
  CHECK(Count(agent, "house1", "egress_denied") > 0);
  CHECK(Count(agent, "guest1", "egress_denied") > 0);
}

TEST_CASE("names are resolved for a sandbox, and a port of the host leads into it",
          "[e2e][network]") {
  if (!EnterOwnNetwork()) return;
  const Place place;
  const Greeter left(place.left(), "left", 8000);
  DnsServer dns("10.9.1.1", 53);
  dns.Set("api.test", {.v4 = {"10.9.1.2"}, .ttl_seconds = 1000});
  Agent agent({.config = "[network]\ndns_servers = \"10.9.1.1\"\n"});
  agent.Furnish();
  agent.Must({"network", "policy", "set", "named", "--allow-to", "api.test:8000", "--allow-from",
              "10.9.2.0/24:8000", "--allow-dns"});
  for (const Case& one : kCases) {
    INFO(one.tenant);
    agent.Must({"tenant", "set", one.tenant, "--network-policy", "named"});
    agent.Must({"run", "-d", "--name", "box", "--tenant", one.tenant, "--memory", "64Mi",
                "--network", "bridge", "--publish", "18000:8000", "--image", "busybox", "--", "sh",
                "-c", "while true; do echo inside | nc -l -p 8000; done"});
    CHECK(Eventually([&] {
      return agent.Must({"exec", "box", "--", "cat", "/etc/hosts"}).find("10.9.1.2") !=
             std::string::npos;
    }));
    CHECK(Ask(agent, "box", "10.9.1.2", 8000) == "left");
    // DNS itself, from inside.
    const std::string looked =
        agent.Must({"exec", "box", "--", "busybox", "nslookup", "api.test", "10.9.1.1"});
    CHECK(looked.find("10.9.1.2") != std::string::npos);
    CHECK(agent.Must({"exec", "box", "--", "cat", "/etc/resolv.conf"}).find("10.9.1.1") !=
          std::string::npos);
    CHECK(Shown(agent, "box").dump().find("api.test") != std::string::npos);

    const auto greeted_by = [&](const Nobody& host, const std::string& at) {
      std::string answer;
      host.Do([&] {
        const auto run = Run({.argv = {"busybox", "nc", "-w", "2", at, "18000"}});
        if (run.ok()) answer = Trim(run->out);
      });
      return answer;
    };
    CHECK(Eventually([&] { return greeted_by(place.right(), "10.9.2.1") == "inside"; }));
    CHECK(greeted_by(place.left(), "10.9.1.1").empty());
    CHECK(Count(agent, "box", "ingress_denied") > 0);
    agent.Must({"rm", "--force", "box"});
    CHECK(Traces(agent).empty());
  }
  CHECK(RunHere({"iptables-save"}).find("18000") == std::string::npos);
}

TEST_CASE("a node that cannot connect a sandbox does not start it", "[e2e][network]") {
  if (!EnterOwnNetwork()) return;
  const Place place;
  Agent agent({.config = "[network]\nipv4 = \"10.222.0.0/29\"\nipv6 = \"\"\n"});
  agent.Furnish();
  agent.Must({"network", "policy", "set", "web", "--allow-to", "10.9.1.2:8000"});
  agent.Must({"tenant", "set", "house", "--network-policy", "web"});
  const auto run = [&](const std::string& name) {
    return agent.Ctl({"run", "-d", "--name", name, "--tenant", "house", "--memory", "32Mi",
                      "--network", "bridge", "--image", "busybox", "--", "sleep", "1000"});
  };
  int started = 0;
  CommandResult refused;
  for (; started < 8; ++started) {
    refused = run(StrCat("box", started));
    if (refused.exit_code != 0) break;
  }
  CHECK(started > 3);
  CHECK(started < 8);
  INFO(refused.err);
  CHECK(refused.err.find("ADDRESSES_EXHAUSTED") != std::string::npos);
  CHECK(agent.Ctl({"inspect", StrCat("box", started)}).exit_code != 0);
  agent.Must({"rm", "--force", "box0"});
  CHECK(run("again").exit_code == 0);
}

}  // namespace
}  // namespace claw::test
