#include "tests/support/dns_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <stdexcept>
#include <utility>

#include "agent/base/ip.h"

namespace claw::test {
namespace {

constexpr size_t kHeader = 12;
constexpr int kAlias = 5;
constexpr int kAaaa = 28;

void Put16(std::string& out, size_t value) {
  out.push_back(static_cast<char>(value >> 8));
  out.push_back(static_cast<char>(value & 0xff));
}

void PutRecord(std::string& out, const std::string& labels, int type, uint32_t ttl,
               const std::string& data) {
  out += labels;
  Put16(out, static_cast<size_t>(type));
  Put16(out, 1);
  Put16(out, ttl >> 16);
  Put16(out, ttl & 0xffff);
  Put16(out, data.size());
  out += data;
}

std::string Labels(const std::string& name) {
  std::string out;
  for (size_t begin = 0; begin < name.size();) {
    const size_t end = std::min(name.find('.', begin), name.size());
    out.push_back(static_cast<char>(end - begin));
    out += name.substr(begin, end - begin);
    begin = end + 1;
  }
  out.push_back('\0');
  return out;
}

std::string Data(const std::string& text) {
  const IpAddress address = ParseIpAddress(text).value_or(IpAddress{.v6 = true});
  if (text.starts_with("::ffff:")) {  // which ParseIpAddress refuses
    std::array<char, 16> bytes{};
    ::inet_pton(AF_INET6, text.c_str(), bytes.data());
    return {bytes.data(), bytes.size()};
  }
  return {reinterpret_cast<const char*>(address.bytes.data()), address.v6 ? 16u : 4u};
}

}  // namespace

DnsServer::DnsServer(const std::string& address, uint16_t port)
    : socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  sockaddr_in here{};
  here.sin_family = AF_INET;
  here.sin_port = htons(port);
  socklen_t size = sizeof(here);
  auto* generic = reinterpret_cast<sockaddr*>(&here);
  if (::inet_pton(AF_INET, address.c_str(), &here.sin_addr) != 1 ||
      ::bind(socket_.get(), generic, size) != 0 ||
      ::getsockname(socket_.get(), generic, &size) != 0) {
    throw std::runtime_error("DnsServer");
  }
  port_ = ntohs(here.sin_port);
  thread_ = std::thread([this] { Loop(); });
}

DnsServer::~DnsServer() {
  ::eventfd_write(wake_.get(), 1);
  thread_.join();
}

void DnsServer::Set(const std::string& name, Entry entry) {
  const std::lock_guard lock(mutex_);
  table_[name] = std::move(entry);
}

int DnsServer::Asked(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto it = asked_.find(name);
  return it == asked_.end() ? 0 : it->second;
}

bool DnsServer::WaitForMore(const std::string& name, int more) {
  std::unique_lock lock(mutex_);
  const int wanted = asked_[name] + more;
  return changed_.wait_for(lock, std::chrono::seconds(30), [&] { return asked_[name] >= wanted; });
}

void DnsServer::Loop() {
  std::array<pollfd, 2> fds{pollfd{.fd = socket_.get(), .events = POLLIN, .revents = 0},
                            pollfd{.fd = wake_.get(), .events = POLLIN, .revents = 0}};
  while (true) {
    ::poll(fds.data(), fds.size(), -1);
    if (fds[1].revents != 0) return;
    std::array<char, 512> buffer{};
    sockaddr_in from{};
    socklen_t size = sizeof(from);
    auto* generic = reinterpret_cast<sockaddr*>(&from);
    const ssize_t got = ::recvfrom(socket_.get(), buffer.data(), buffer.size(), 0, generic, &size);
    if (got < static_cast<ssize_t>(kHeader)) continue;
    const std::string answer = Answer({buffer.data(), static_cast<size_t>(got)});
    if (answer.empty()) continue;
    ::sendto(socket_.get(), answer.data(), answer.size(), 0, generic, size);
  }
}

std::string DnsServer::Answer(std::string_view query) {
  std::string name;
  size_t at = kHeader;
  while (at < query.size() && query[at] != 0) {
    const auto length = static_cast<size_t>(query[at]);
    if (!name.empty()) name.push_back('.');
    name += query.substr(at + 1, length);
    at += length + 1;
  }
  const size_t end = at + 5;  // the last label, the type, the class
  if (end > query.size()) return "";
  const int type = query[at + 2];

  const std::lock_guard lock(mutex_);
  ++asked_[name];
  changed_.notify_all();
  const auto it = table_.find(name);
  const Entry entry = it == table_.end() ? Entry{.error = 3} : it->second;
  if (entry.silent) return "";
  const int error = type == kAaaa && entry.v6_error != 0 ? entry.v6_error : entry.error;
  const auto& addresses = type == kAaaa ? entry.v6 : entry.v4;
  const bool alias = !entry.alias.empty();

  std::string out(query.substr(0, 2));
  Put16(out, 0x8180u | static_cast<unsigned>(error));
  Put16(out, 1);
  Put16(out, error != 0 ? 0 : addresses.size() + (alias ? 1 : 0));
  Put16(out, 0);
  Put16(out, 0);
  out += query.substr(kHeader, end - kHeader);
  if (error != 0) return out;
  const std::string labels = Labels(entry.alias);
  const std::string asked("\xc0\x0c", 2);  // points to the name in the question
  if (alias) PutRecord(out, asked, kAlias, entry.ttl_seconds, labels);
  for (const std::string& address : addresses) {
    PutRecord(out, alias ? labels : asked, type, entry.ttl_seconds, Data(address));
  }
  if (entry.nonsense) out.resize(out.size() - 3);
  return out;
}

}  // namespace claw::test
