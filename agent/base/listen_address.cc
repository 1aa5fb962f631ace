#include "agent/base/listen_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>

namespace claw {
namespace {

constexpr int64_t kMaxPort = 65535;

Status BadForm(std::string_view text) {
  return InvalidArgument("has to be a loopback address, as in \"127.0.0.1:9464\" or ",
                         "\"[::1]:9464\", or \"unix:/absolute/path\"; it is \"", text, "\"");
}

Status BadTcpForm(std::string_view text) {
  return InvalidArgument("has to be an address and a port, as in \"0.0.0.0:50051\" or ",
                         "\"[fd00::1]:50051\"; it is \"", text, "\"");
}

bool IsPrintable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; });
}

StatusOr<bool> IsLoopback(const std::string& host) {
  in_addr four{};
  if (::inet_pton(AF_INET, host.c_str(), &four) == 1) {
    return (ntohl(four.s_addr) >> 24) == IN_LOOPBACKNET;
  }
  in6_addr six{};
  if (::inet_pton(AF_INET6, host.c_str(), &six) == 1) return IN6_IS_ADDR_LOOPBACK(&six) != 0;
  return InvalidArgument("not an address");
}

bool SplitPort(std::string_view text, ListenAddress& address) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return false;
  std::string_view host = text.substr(0, colon);
  const bool brackets = host.starts_with("[") && host.ends_with("]");
  if (brackets) host = host.substr(1, host.size() - 2);
  int64_t port = 0;
  if (!ParseInt(text.substr(colon + 1), &port) || port < 0 || port > kMaxPort) return false;
  // Without brackets it is not clear where an IPv6 address ends.
  if (brackets != (host.find(':') != std::string_view::npos)) return false;
  address.host = host;
  address.port = static_cast<uint16_t>(port);
  return true;
}

}  // namespace

StatusOr<ListenAddress> ParseListenAddress(std::string_view text) {
  if (!IsPrintable(text)) return BadForm("not printable");
  ListenAddress address;
  if (text.starts_with("unix:")) {
    const std::string_view path = text.substr(5);
    if (!path.starts_with("/")) return BadForm(text);
    address.socket = std::filesystem::path(path).lexically_normal();
    return address;
  }
  if (!SplitPort(text, address)) return BadForm(text);
  const StatusOr<bool> loopback = IsLoopback(address.host);
  if (!loopback.ok()) return BadForm(text);
  if (!*loopback) {
    return InvalidArgument("is ", text, ", which other machines may reach; ",
                           "only loopback addresses and unix sockets are served");
  }
  return address;
}

StatusOr<ListenAddress> ParseTcpAddress(std::string_view text) {
  if (!IsPrintable(text)) return BadTcpForm("not printable");
  ListenAddress address;
  const bool good = SplitPort(text, address) && IsLoopback(address.host).ok();
  if (!good) return BadTcpForm(text);
  return address;
}

std::string ToString(const ListenAddress& address) {
  if (address.is_unix()) return StrCat("unix:", address.socket.string());
  const bool six = address.host.find(':') != std::string::npos;
  return StrCat(six ? "[" : "", address.host, six ? "]" : "", ":", address.port);
}

}  // namespace claw
