#include "agent/base/endpoint.h"

#include <array>

#include "agent/base/strings.h"

namespace claw {
namespace {

constexpr std::array<std::pair<Protocol, std::string_view>, 4> kProtocols = {
    {{Protocol::kAny, "any"},
     {Protocol::kTcp, "tcp"},
     {Protocol::kUdp, "udp"},
     {Protocol::kIcmp, "icmp"}}};

Status BadEndpoint(std::string_view text, std::string_view why) {
  return InvalidArgument(
      "'", text, "' ", why,
      "; it has to read PEER[:PORTS][/PROTOCOL], as in \"10.0.0.0/8:443/tcp\" or "
      "\"[fd00::/8]:53/udp\"");
}

StatusOr<int> ParsePort(std::string_view text) {
  int64_t port = 0;
  if (!ParseInt(text, &port) || port < 1 || port > 65535) {
    return InvalidArgument("'", text, "' is not a port between 1 and 65535");
  }
  return static_cast<int>(port);
}

StatusOr<std::vector<PortRange>> ParsePorts(std::string_view text) {
  std::vector<PortRange> ports;
  for (const std::string_view part : Split(text, ',')) {
    const size_t dash = part.find('-');
    PortRange range;
    ASSIGN_OR_RETURN(range.first, ParsePort(part.substr(0, dash)));
    range.last = range.first;
    if (dash != std::string_view::npos) {
      ASSIGN_OR_RETURN(range.last, ParsePort(part.substr(dash + 1)));
    }
    if (range.last < range.first) return InvalidArgument("the ports ", part, " run backwards");
    ports.push_back(range);
  }
  return ports;
}

bool IsNumber(std::string_view text) {
  int64_t number = 0;
  return ParseInt(text, &number);
}

}  // namespace

std::string_view ToString(Protocol protocol) {
  for (const auto& [value, name] : kProtocols) {
    if (value == protocol) return name;
  }
  return "any";
}

StatusOr<Protocol> ParseProtocol(std::string_view text) {
  for (const auto& [value, name] : kProtocols) {
    if (name == text) return value;
  }
  return InvalidArgument("'", text, "' is not a protocol: tcp, udp, icmp or any");
}

StatusOr<Endpoint> ParseEndpoint(std::string_view text) {
  Endpoint endpoint;
  std::string_view rest = text;
  bool has_protocol = false;
  // What stands behind the last slash is a protocol, unless it is the length of a prefix.
  const size_t slash = rest.rfind('/');
  if (slash != std::string_view::npos && rest.find(']', slash) == std::string_view::npos &&
      !IsNumber(rest.substr(slash + 1).substr(0, rest.substr(slash + 1).find(':')))) {
    ASSIGN_OR_RETURN(endpoint.protocol, ParseProtocol(rest.substr(slash + 1)));
    has_protocol = true;
    rest = rest.substr(0, slash);
  }
  std::string_view ports;
  if (rest.starts_with("[")) {
    const size_t end = rest.find(']');
    if (end == std::string_view::npos) return BadEndpoint(text, "lacks a ]");
    endpoint.peer = rest.substr(1, end - 1);
    rest = rest.substr(end + 1);
    if (!rest.empty() && (rest[0] != ':' || rest.size() == 1)) {
      return BadEndpoint(text, "has no ports behind its ]");
    }
    if (!rest.empty()) ports = rest.substr(1);
  } else {
    const size_t colon = rest.find(':');
    const bool is_v6 = colon != std::string_view::npos && rest.rfind(':') != colon;
    endpoint.peer = is_v6 ? rest : rest.substr(0, colon);
    if (!is_v6 && colon != std::string_view::npos) {
      ports = rest.substr(colon + 1);
      if (ports.empty()) return BadEndpoint(text, "has no ports behind its colon");
    }
  }
  if (endpoint.peer.empty()) return BadEndpoint(text, "names no peer");
  if (ports.empty()) return endpoint;
  ASSIGN_OR_RETURN(endpoint.ports, ParsePorts(ports));
  if (!has_protocol) endpoint.protocol = Protocol::kTcp;
  if (endpoint.protocol == Protocol::kIcmp || endpoint.protocol == Protocol::kAny) {
    return BadEndpoint(text, "has ports, which only tcp and udp have");
  }
  return endpoint;
}

std::string ToString(const Endpoint& endpoint) {
  std::string ports;
  for (const PortRange& range : endpoint.ports) {
    if (!ports.empty()) ports += ",";
    ports += range.first == range.last ? StrCat(range.first) : StrCat(range.first, "-", range.last);
  }
  const bool brackets = !ports.empty() && endpoint.peer.find(':') != std::string::npos;
  std::string text = brackets ? StrCat("[", endpoint.peer, "]") : endpoint.peer;
  if (!ports.empty()) text += StrCat(":", ports);
  if (endpoint.protocol != Protocol::kAny) text += StrCat("/", ToString(endpoint.protocol));
  return text;
}

}  // namespace claw
