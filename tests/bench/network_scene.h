#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/subprocess.h"

namespace claw::bench {

// Namespaces for a benchmark of networks. Everything here ends the benchmark if it fails.

// A process that does nothing in a network namespace of its own.
class Holder {
 public:
  Holder();
  ~Holder();
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;

  pid_t pid() const { return process_.pid(); }
  // A program in there, to its end.
  std::string Run(const std::vector<std::string>& argv, const std::string& input = {}) const;
  Process Start(const std::vector<std::string>& argv) const;

 private:
  Process process_;
};

// Moves the whole process, which has one thread as yet, into a network namespace of its own.
void EnterOwnNetwork();
std::string MustRun(const std::vector<std::string>& argv, const std::string& input = {});
[[noreturn]] void Fail(const std::string& what, const std::string& why);

constexpr char kOutside[] = "10.9.1.2";
constexpr int kOutsidePort = 5201;

// A host behind the one that we are, or behind `router`, at kOutside, where iperf3 serves.
class Outside {
 public:
  explicit Outside(const Holder* router = nullptr);
  ~Outside();
  Outside(const Outside&) = delete;
  Outside& operator=(const Outside&) = delete;

 private:
  Holder host_;
  Process server_;
};

// A host that hands packets on without any rules, with one sandbox on a bridge: what the same path
// costs by itself.
class BareHost {
 public:
  BareHost();
  const Holder& sandbox() const { return sandbox_; }

 private:
  Holder router_;
  Holder sandbox_;
  Outside outside_;
};

// What iperf3 says of a stream of TCP, in Gbit/s, and of datagrams of 64 bytes, in thousands a
// second that arrived.
std::vector<std::string> StreamCommand(int seconds);
std::vector<std::string> DatagramCommand(int seconds);
double StreamGbits(const std::string& printed);
double DatagramThousands(const std::string& printed);

}  // namespace claw::bench
