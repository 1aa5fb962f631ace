#include "tests/integration/network/world.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <thread>

#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "drivers/network/linux/nft.h"
#include "tests/integration/network/world_config.h"
#include "tests/support/own_network.h"

namespace claw::test {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::seconds kVeryLong{60};

UniqueFd NamespaceOf(pid_t pid) {
  UniqueFd fd(::open(StrCat("/proc/", pid, "/ns/net").c_str(), O_RDONLY | O_CLOEXEC));
  REQUIRE(fd.valid());
  return fd;
}

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

Address MakeAddress(const std::string& text, int port) {
  Address made;
  if (text.find(':') != std::string::npos) {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&made.storage);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(static_cast<uint16_t>(port));
    REQUIRE(::inet_pton(AF_INET6, text.c_str(), &v6->sin6_addr) == 1);
    made.size = sizeof(*v6);
  } else {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&made.storage);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(static_cast<uint16_t>(port));
    REQUIRE(::inet_pton(AF_INET, text.c_str(), &v4->sin_addr) == 1);
    made.size = sizeof(*v4);
  }
  return made;
}

std::vector<std::string> Names(const std::filesystem::path& folder) {
  auto names = ListDirectory(folder);
  return names.ok() ? std::move(*names) : std::vector<std::string>{};
}

void Erase(nlohmann::json& value) {
  if (value.is_object()) {
    for (const char* name : {"handle", "packets", "bytes"}) value.erase(name);
    if (value.contains("size")) value.erase("elem");  // filled by packets
  }
  if (!value.is_structured()) return;
  for (auto& part : value) Erase(part);
}

bool Ready(int fd, short events) {
  pollfd one{.fd = fd, .events = events, .revents = 0};
  return ::poll(&one, 1, 0) == 1;
}

}  // namespace

std::string Leftovers(const World& world) {
  std::string left;
  const std::string links = RunHere({"ip", "-o", "link"});
  for (const std::string_view line : Split(links, '\n', true)) {
    if (line.find("master clawt") != std::string_view::npos) left += StrCat(line, "\n");
  }
  left += RunHere({"ip", "neigh", "show", "nud", "permanent"});
  for (const std::string& name : Names(world.run_dir())) {
    if (name != "ipam") left += StrCat(name, "\n");
  }
  for (const std::string& bridge : Names(world.run_dir() / "ipam")) {
    for (const std::string& file : Names(world.run_dir() / "ipam" / bridge)) {
      if (ParseIpAddress(file).ok()) left += StrCat(bridge, "/", file, "\n");
    }
  }
  return left;
}

std::string Rules() {
  std::string text;
  for (const std::string_view family : {"inet", "bridge"}) {
    auto listed = network::ListNft(StrCat("list table ", family, " clawt"));
    REQUIRE(listed.ok());
    Erase(*listed);
    for (const auto& object : *listed) text += StrCat(object.dump(), "\n");
  }
  return text;
}

bool Eventually(const std::function<bool()>& so) {
  const auto end = steady_clock::now() + kVeryLong;
  while (!so()) {
    if (steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

Nobody::Nobody() {
  ProcessSpec spec;
  spec.argv = {"sleep", "infinity"};
  spec.before_exec = [] { return ::unshare(CLONE_NEWNET) == 0 ? 0 : errno; };
  auto process = Spawn(spec);
  REQUIRE(process.ok());
  process_ = std::move(*process);
}

Nobody::~Nobody() {
  if (process_.pid() > 0) End();
}

void Nobody::End() {
  if (std::exchange(ended_, true)) return;
  process_.Signal(SIGKILL).IgnoreError();
  process_.Wait().status().IgnoreError();
}

void Nobody::Do(const std::function<void()>& what) const {
  const UniqueFd netns = NamespaceOf(pid());
  bool entered = false;
  std::thread inside([&] {
    entered = ::setns(netns.get(), CLONE_NEWNET) == 0;
    if (entered) what();
  });
  inside.join();
  REQUIRE(entered);
}

void Nobody::Ip(const std::string& commands) const {
  const UniqueFd netns = NamespaceOf(pid());
  test::Ip(commands, netns.get());
}

void Ip(const std::string& commands, int netns) {
  ProcessSpec spec;
  spec.argv = {"ip", "-batch", "-"};
  if (netns >= 0) {
    spec.before_exec = [netns] { return ::setns(netns, CLONE_NEWNET) == 0 ? 0 : errno; };
  }
  const auto done = RunOrError(spec, {.input = commands});
  INFO(commands << ToLogString(done.status()));
  REQUIRE(done.ok());
}

std::string RunHere(const std::vector<std::string>& argv) {
  ProcessSpec spec;
  spec.argv = argv;
  const auto done = RunOrError(spec);
  INFO(argv[0] << ": " << ToLogString(done.status()));
  REQUIRE(done.ok());
  return *done;
}

NetworkRule Rule(std::string_view text) {
  const auto rule = ParseNetworkRule(text);
  INFO(text << ": " << ToLogString(rule.status()));
  REQUIRE(rule.ok());
  return *rule;
}

NetworkPolicy Allow(const std::vector<std::string_view>& egress,
                    const std::vector<std::string_view>& ingress) {
  NetworkPolicy policy;
  for (const std::string_view text : egress) policy.egress.push_back(Rule(text));
  for (const std::string_view text : ingress) policy.ingress.push_back(Rule(text));
  return policy;
}

World::World(std::string_view ipv4_range) : range_(ipv4_range) {
  REQUIRE(EnterOwnNetwork());
  int number = 1;
  for (std::unique_ptr<Nobody>* out : {&out1_, &out2_}) {
    *out = std::make_unique<Nobody>();
    const std::string n = StrCat(number++);
    Ip(StrCat("link add out", n, " type veth peer name eth0 netns ", (*out)->pid(), "\n",  //
              "addr add 10.9.", n, ".1/24 dev out", n, "\n",                               //
              "addr add fd09:", n, "::1/64 dev out", n, " nodad\n",                        //
              "link set out", n, " up\n"));
    (*out)->Ip(StrCat("addr add 10.9.", n, ".2/24 dev eth0\n",         //
                      "addr add fd09:", n, "::2/64 dev eth0 nodad\n",  //
                      "link set eth0 up\n", "link set lo up\n",        //
                      "route add default via 10.9.", n, ".1\n",        //
                      "route add default via fd09:", n, "::1\n"));
  }
  // What nobody here has is sent on as well.
  Ip("route add default via 10.9.1.2\nroute add default via fd09:1::2\n");
  Restart();
}

network::NetworkConfig World::Config(std::string_view ipv4_range,
                                     const std::filesystem::path& run_dir) {
  return WorldConfig(run_dir, ipv4_range);
}

void World::Restart() {
  networks_.reset();
  networks_ = std::make_unique<network::LinuxNetworks>(Config(range_, run_dir()), events);
  const auto health = networks_->Probe();
  INFO(health.message);
  REQUIRE(health.healthy);
}

network::NetworkPlan World::Plan(const std::string& id, const std::string& tenant,
                                 const NetworkPolicy& policy) const {
  return {.id = id,
          .tenant = tenant,
          .hostname = StrCat("host-", id),
          .layers = {{.name = "", .policy = policy}}};
}

NetworkAttachment World::Connect(const network::NetworkPlan& plan) {
  const auto files = networks_->Prepare(plan);
  INFO(ToLogString(files.status()));
  REQUIRE(files.ok());
  auto nobody = std::make_unique<Nobody>();
  const auto attachment = networks_->Attach(plan, nobody->pid());
  INFO(ToLogString(attachment.status()));
  REQUIRE(attachment.ok());
  sandboxes_[plan.id] = std::move(nobody);
  attachments_[plan.id] = *attachment;
  return *attachment;
}

World::Peer World::Sandbox(const std::string& id, bool v6) const {
  const NetworkAttachment& at = attachments_.at(id);
  return {sandboxes_.at(id).get(), v6 ? at.ipv6 : at.ipv4};
}

network::NetworkCounters World::Counts(const std::string& id) const {
  auto counts = networks_->Count();
  INFO(ToLogString(counts.status()));
  REQUIRE(counts.ok());
  return (*counts)[id];
}

int64_t World::DeniedSoFar() const {
  const auto counts = networks_->Count();
  INFO(ToLogString(counts.status()));
  REQUIRE(counts.ok());
  int64_t denied = 0;
  for (const auto& [id, count] : *counts) {
    denied += count.egress_denied.packets + count.ingress_denied.packets + count.spoofed.packets;
  }
  return denied;
}

UniqueFd Socket(const Nobody* who, bool v6, int type, const std::string& address, int port) {
  UniqueFd fd;
  const auto make = [&] {
    fd = UniqueFd(::socket(v6 ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  };
  if (who != nullptr) {
    who->Do(make);
  } else {
    make();
  }
  REQUIRE(fd.valid());
  const int one = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  ::setsockopt(fd.get(), SOL_IP, IP_FREEBIND, &one, sizeof(one));  // whoever has the address
  if (port != 0) {
    const Address at = MakeAddress(address, port);
    REQUIRE(::bind(fd.get(), at.get(), at.size) == 0);
  }
  return fd;
}

void SendTo(const UniqueFd& socket, const std::string& address, int port, const std::string& text) {
  const Address at = MakeAddress(address, port);
  ::sendto(socket.get(), text.data(), text.size(), 0, at.get(), at.size);
}

bool World::Udp(const Peer& from, const Peer& to, int port, size_t bytes) {
  const bool v6 = to.address.find(':') != std::string::npos;
  const UniqueFd server = Socket(to.who, v6, SOCK_DGRAM, to.address, port);
  const UniqueFd client = Socket(from.who, v6, SOCK_DGRAM, "", 0);
  const Address at = MakeAddress(to.address, port);
  const int64_t before = DeniedSoFar();
  const std::string text(bytes, 'x');
  const ssize_t sent = ::sendto(client.get(), text.data(), text.size(), 0, at.get(), at.size);
  if (sent < 0 && errno == EPERM) return false;  // the host's own rules say it at once
  REQUIRE(sent == static_cast<ssize_t>(bytes));
  bool arrived = false;
  REQUIRE(Eventually([&] {
    arrived = Ready(server.get(), POLLIN);
    return arrived || DeniedSoFar() > before;
  }));
  return arrived;
}

World::Stream World::Tcp(const Peer& from, const Peer& to, int port) {
  const bool v6 = to.address.find(':') != std::string::npos;
  const UniqueFd listener = Socket(to.who, v6, SOCK_STREAM, to.address, port);
  REQUIRE(::listen(listener.get(), 8) == 0);
  Stream stream{.client = Socket(from.who, v6, SOCK_STREAM, "", 0)};
  const Address at = MakeAddress(to.address, port);
  const int64_t before = DeniedSoFar();
  ::connect(stream.client.get(), at.get(), at.size);
  bool arrived = false;
  REQUIRE(Eventually([&] {
    arrived = Ready(listener.get(), POLLIN);
    return arrived || DeniedSoFar() > before;
  }));
  if (!arrived) return {};
  stream.server = UniqueFd(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK));
  REQUIRE(stream.server.valid());
  return stream;
}

bool World::Reaches(const Peer& from, const std::string& address, int port) {
  const bool v6 = address.find(':') != std::string::npos;
  const UniqueFd client = Socket(from.who, v6, SOCK_STREAM, "", 0);
  const Address at = MakeAddress(address, port);
  const int64_t before = DeniedSoFar();
  ::connect(client.get(), at.get(), at.size);
  bool connected = false;
  REQUIRE(Eventually([&] {
    connected = Ready(client.get(), POLLOUT);
    return connected || DeniedSoFar() > before;
  }));
  return connected;
}

bool World::Carries(const UniqueFd& from, const UniqueFd& to) {
  const int64_t before = DeniedSoFar();
  REQUIRE(::send(from.get(), "hello", 5, MSG_NOSIGNAL) == 5);
  bool arrived = false;
  REQUIRE(Eventually([&] {
    arrived = Ready(to.get(), POLLIN);
    return arrived || DeniedSoFar() > before;
  }));
  std::array<char, 64> buffer{};
  if (arrived) REQUIRE(::recv(to.get(), buffer.data(), buffer.size(), 0) == 5);
  return arrived;
}

}  // namespace claw::test
