#include "tests/bench/network_scene.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <thread>

#include "agent/base/strings.h"

namespace claw::bench {
namespace {

constexpr std::chrono::minutes kVeryLong{5};

void End(Process& process) {
  process.Signal(SIGKILL).IgnoreError();
  process.Wait().status().IgnoreError();
}

UniqueFd NamespaceOf(pid_t pid) {
  UniqueFd netns(::open(StrCat("/proc/", pid, "/ns/net").c_str(), O_RDONLY | O_CLOEXEC));
  if (!netns.valid()) Fail("open a network namespace", StrCat("process ", pid));
  return netns;
}

std::string Finish(const ProcessSpec& spec, const std::string& input) {
  const auto done = RunOrError(spec, {.timeout = kVeryLong, .input = input});
  if (!done.ok()) Fail(Join(spec.argv, " "), ToLogString(done.status()));
  return *done;
}

nlohmann::json Report(const std::string& printed) {
  nlohmann::json report = nlohmann::json::parse(printed, nullptr, false);
  if (!report.is_object() || report.contains("error") || !report.contains("end")) {
    Fail("iperf3", printed.substr(0, 2000));
  }
  return report["end"];
}

std::string Wire(const std::string& interface) {
  return StrCat("addr add 10.9.1.1/24 dev ", interface, "\nlink set ", interface, " up\n");
}

}  // namespace

void Fail(const std::string& what, const std::string& why) {
  std::fprintf(stderr, "benchmark: %s: %s\n", what.c_str(), why.c_str());
  std::exit(1);
}

Holder::Holder() {
  ProcessSpec spec;
  spec.argv = {"sleep", "infinity"};
  // It ends with the benchmark, however that ends.
  spec.before_exec = [] {
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return errno;
    return ::unshare(CLONE_NEWNET) == 0 ? 0 : errno;
  };
  auto process = Spawn(spec);
  if (!process.ok()) Fail("make a network namespace", ToLogString(process.status()));
  process_ = *std::move(process);
}

Holder::~Holder() { End(process_); }

std::string Holder::Run(const std::vector<std::string>& argv, const std::string& input) const {
  const UniqueFd netns = NamespaceOf(pid());
  ProcessSpec spec;
  spec.argv = argv;
  spec.before_exec = [&] { return ::setns(netns.get(), CLONE_NEWNET) == 0 ? 0 : errno; };
  return Finish(spec, input);
}

Process Holder::Start(const std::vector<std::string>& argv) const {
  const UniqueFd netns = NamespaceOf(pid());
  ProcessSpec spec;
  spec.argv = argv;
  spec.before_exec = [&] {
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return errno;
    return ::setns(netns.get(), CLONE_NEWNET) == 0 ? 0 : errno;
  };
  auto started = Spawn(spec);
  if (!started.ok()) Fail(argv[0], ToLogString(started.status()));
  return *std::move(started);
}

void EnterOwnNetwork() {
  if (::unshare(CLONE_NEWNET) != 0) Fail("make a network namespace", "it needs root");
  MustRun({"ip", "link", "set", "lo", "up"});
}

std::string MustRun(const std::vector<std::string>& argv, const std::string& input) {
  ProcessSpec spec;
  spec.argv = argv;
  return Finish(spec, input);
}

Outside::Outside(const Holder* router) {
  const std::string made =
      StrCat("link add out1 type veth peer name eth0 netns ", host_.pid(), "\n");
  const std::string script = made + Wire("out1");
  if (router != nullptr) {
    router->Run({"ip", "-batch", "-"}, script);
  } else {
    MustRun({"ip", "-batch", "-"}, script);
  }
  host_.Run({"ip", "-batch", "-"},
            StrCat("addr add ", kOutside, "/24 dev eth0\nlink set eth0 up\nlink set lo up\n",
                   "route add default via 10.9.1.1\n"));
  server_ = host_.Start({"iperf3", "-s", "-p", StrCat(kOutsidePort)});
  const auto end = std::chrono::steady_clock::now() + kVeryLong;
  const std::string listens = StrCat(":", kOutsidePort);
  while (host_.Run({"ss", "-Hltn"}).find(listens) == std::string::npos) {
    if (std::chrono::steady_clock::now() > end) Fail("iperf3", "it does not listen");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

Outside::~Outside() { End(server_); }

BareHost::BareHost() : outside_(&router_) {
  router_.Run({"ip", "-batch", "-"},
              StrCat("link add bare0 type bridge\naddr add 10.8.0.1/24 dev bare0\n",
                     "link set bare0 up\nlink add port type veth peer name eth0 netns ",
                     sandbox_.pid(), "\nlink set port master bare0 up\n"));
  router_.Run({"sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"});
  sandbox_.Run({"ip", "-batch", "-"},
               "addr add 10.8.0.2/24 dev eth0\nlink set eth0 up\nroute add default via 10.8.0.1\n");
}

std::vector<std::string> StreamCommand(int seconds) {
  return {"/usr/bin/iperf3",    "-J", "-c",           kOutside, "-p",
          StrCat(kOutsidePort), "-t", StrCat(seconds)};
}

std::vector<std::string> DatagramCommand(int seconds) {
  std::vector<std::string> command = StreamCommand(seconds);
  command.insert(command.end(), {"-u", "-b", "0", "-l", "64"});
  return command;
}

double StreamGbits(const std::string& printed) {
  return Report(printed)["sum_received"]["bits_per_second"].get<double>() / 1e9;
}

double DatagramThousands(const std::string& printed) {
  const nlohmann::json sum = Report(printed)["sum"];
  const double arrived = sum["packets"].get<double>() - sum["lost_packets"].get<double>();
  return arrived / sum["seconds"].get<double>() / 1000;
}

}  // namespace claw::bench
