#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/subprocess.h"
#include "agent/base/unique_fd.h"
#include "drivers/network/linux/networks.h"
#include "tests/support/temp_dir.h"

namespace claw::test {

// A process that does nothing in a network namespace of its own: a sandbox without a runtime, or
// another host.
class Nobody {
 public:
  Nobody();
  ~Nobody();
  Nobody(Nobody&& other) noexcept = default;
  Nobody& operator=(Nobody&&) = delete;

  [[nodiscard]] pid_t pid() const { return process_.pid(); }
  // Runs in that namespace, on a thread of its own that is joined.
  void Do(const std::function<void()>& what) const;
  void Ip(const std::string& commands) const;
  void End();  // with it the namespace goes

 private:
  Process process_;
  bool ended_ = false;
};

// `ip -batch` in the test's own namespace, or another.
void Ip(const std::string& commands, int netns = -1);
std::string RunHere(const std::vector<std::string>& argv);

NetworkRule Rule(std::string_view text);
NetworkPolicy Allow(const std::vector<std::string_view>& egress,
                    const std::vector<std::string_view>& ingress = {});

// A host with two others behind it: 10.9.1.2 and 10.9.2.2, fd09:1::2 and fd09:2::2. The test's
// thread is moved into it. What runs there is claw::network as it is.
class World {
 public:
  explicit World(std::string_view ipv4_range = "10.222.0.0/20");

  static network::NetworkConfig Config(std::string_view ipv4_range,
                                       const std::filesystem::path& run_dir);
  network::NetworkPlan Plan(const std::string& id, const std::string& tenant,
                            const NetworkPolicy& policy) const;
  // A sandbox that is connected; its namespace lives as long as the world.
  NetworkAttachment Connect(const network::NetworkPlan& plan);
  const Nobody& Of(const std::string& id) const { return *sandboxes_.at(id); }
  const NetworkAttachment& Attachment(const std::string& id) const { return attachments_.at(id); }
  void EndProcess(const std::string& id) { sandboxes_.at(id)->End(); }
  network::NetworkCounters Counts(const std::string& id) const;
  // As after a restart of the agent.
  void Restart();
  // As after kill -9, until Restart.
  void Stop() { networks_.reset(); }

  // Whether a datagram gets there: it arrives, or somebody counts it as denied. `to` is who listens
  // there; nullptr is the host.
  struct Peer {
    const Nobody* who = nullptr;
    std::string address{};
  };
  bool Udp(const Peer& from, const Peer& to, int port, size_t bytes = 10);
  // The same for a connection of TCP; both ends of it if it comes to one.
  struct Stream {
    UniqueFd client{};
    UniqueFd server{};
    explicit operator bool() const { return client.valid(); }
  };
  Stream Tcp(const Peer& from, const Peer& to, int port);
  // Whether a connection comes about with whoever listens there already.
  bool Reaches(const Peer& from, const std::string& address, int port);
  // Whether something that is written at one end comes out at the other.
  bool Carries(const UniqueFd& from, const UniqueFd& to);
  // All that was denied or found to be spoofed so far, of all sandboxes.
  int64_t DeniedSoFar() const;
  int64_t Spoofed(const std::string& id) const { return Counts(id).spoofed.packets; }

  Peer Sandbox(const std::string& id, bool v6 = false) const;
  Peer Out1(bool v6 = false) const { return {out1_.get(), v6 ? "fd09:1::2" : "10.9.1.2"}; }
  Peer Out2(bool v6 = false) const { return {out2_.get(), v6 ? "fd09:2::2" : "10.9.2.2"}; }
  static Peer Host(std::string address) { return {nullptr, std::move(address)}; }

  const std::filesystem::path run_dir() const { return folder_.path() / "net"; }
  network::LinuxNetworks& networks() { return *networks_; }

  network::NetworkEvents events{};  // used from the next Restart on

 private:
  std::string range_;
  TempDir folder_;
  std::unique_ptr<Nobody> out1_;
  std::unique_ptr<Nobody> out2_;
  std::map<std::string, std::unique_ptr<Nobody>> sandboxes_;
  std::map<std::string, NetworkAttachment> attachments_;
  std::unique_ptr<network::LinuxNetworks> networks_;
};

// What is left in the kernel and on disk of sandboxes; empty: nothing.
std::string Leftovers(const World& world);
// The tables, but for what counts.
std::string Rules();

// Waits until it is so, for a very long time at most.
bool Eventually(const std::function<bool()>& so);

// A socket in somebody's namespace, bound to a port there if it is not 0.
UniqueFd Socket(const Nobody* who, bool v6, int type, const std::string& address, int port);

// A datagram; what becomes of it is not looked at.
void SendTo(const UniqueFd& socket, const std::string& address, int port, const std::string& text);

}  // namespace claw::test
