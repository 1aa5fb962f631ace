#include "tests/support/http_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>
#include <stdexcept>

#include "agent/base/listen_address.h"

namespace claw::test {
namespace {

constexpr timeval kPatience{.tv_sec = 30, .tv_usec = 0};

union AnyAddress {
  sockaddr any;
  sockaddr_in four;
  sockaddr_in6 six;
  sockaddr_un unix;
};

AnyAddress Convert(const ListenAddress& address) {
  AnyAddress to;
  std::memset(&to, 0, sizeof(to));
  if (address.is_unix()) {
    to.unix.sun_family = AF_UNIX;
    std::strncpy(to.unix.sun_path, address.socket.c_str(), sizeof(to.unix.sun_path) - 1);
  } else if (::inet_pton(AF_INET, address.host.c_str(), &to.four.sin_addr) == 1) {
    to.four.sin_family = AF_INET;
    to.four.sin_port = htons(address.port);
  } else {
    ::inet_pton(AF_INET6, address.host.c_str(), &to.six.sin6_addr);
    to.six.sin6_family = AF_INET6;
    to.six.sin6_port = htons(address.port);
  }
  return to;
}

socklen_t SizeOf(const AnyAddress& address) {
  if (address.any.sa_family == AF_UNIX) return sizeof(address.unix);
  return address.any.sa_family == AF_INET ? sizeof(address.four) : sizeof(address.six);
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

}  // namespace

HttpClient::HttpClient(const std::string& address) {
  const AnyAddress to = Convert(ParseListenAddress(address).value());
  socket_ = UniqueFd(::socket(to.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof(kPatience));
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof(kPatience));
  if (::connect(socket_.get(), &to.any, SizeOf(to)) != 0) {
    throw std::runtime_error("nobody listens on " + address);
  }
}

bool HttpClient::Send(std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = ::send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    text.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

bool HttpClient::Ask(std::string_view method_and_path) {
  return Send(StrCat(method_and_path, " HTTP/1.1\r\nHost: localhost\r\n\r\n"));
}

std::optional<HttpClient::Answer> HttpClient::Read(bool to_head) {
  size_t end = std::string::npos;
  while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
    if (!More()) return std::nullopt;
  }
  Answer answer;
  const std::string head = buffer_.substr(0, end);
  buffer_.erase(0, end + 4);
  const size_t space = head.find(' ');
  if (space != std::string::npos) answer.status = std::atoi(head.c_str() + space);
  const std::vector<std::string_view> lines = Split(head, '\n');
  for (const std::string_view line : lines) {
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    answer.header[Lower(line.substr(0, colon))] = Trim(line.substr(colon + 1));
  }
  int64_t length = 0;
  if (!to_head && !ParseInt(answer.header["content-length"], &length)) return std::nullopt;
  while (buffer_.size() < static_cast<size_t>(length)) {
    if (!More()) return std::nullopt;
  }
  answer.body = buffer_.substr(0, static_cast<size_t>(length));
  buffer_.erase(0, static_cast<size_t>(length));
  return answer;
}

std::string HttpClient::ReadAll() {
  while (More()) {
  }
  return buffer_;
}

bool HttpClient::More() {
  std::array<char, 65536> part;
  const ssize_t got = ::recv(socket_.get(), part.data(), part.size(), 0);
  if (got <= 0) return false;
  buffer_.append(part.data(), static_cast<size_t>(got));
  return true;
}

}  // namespace claw::test
