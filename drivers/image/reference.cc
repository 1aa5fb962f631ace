#include "drivers/image/reference.h"

#include <absl/strings/ascii.h>
#include <arpa/inet.h>

#include <algorithm>

#include "agent/base/digest.h"
#include "drivers/image/errors.h"
#include "drivers/image/image_store.h"

namespace claw::image {
namespace {

constexpr std::string_view kDefaultDomain = "docker.io";
constexpr size_t kMaxNameBytes = 255;
constexpr size_t kMaxTagBytes = 128;
// A name, a tag and a digest with what separates them.
constexpr size_t kMaxReferenceBytes = kMaxNameBytes + 1 + kMaxTagBytes + 1 + 71;

bool IsAlnum(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)); }
bool IsLowerOrDigit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool HasUpper(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
}

bool IsPort(std::string_view text) {
  int64_t port = 0;
  return text.size() <= 5 && std::all_of(text.begin(), text.end(), absl::ascii_isdigit) &&
         ParseInt(text, &port) && port > 0 && port <= 65535;
}

bool IsHostLabel(std::string_view label) {
  return !label.empty() && label.size() <= 63 && IsAlnum(label.front()) && IsAlnum(label.back()) &&
         std::all_of(label.begin(), label.end(), [](char c) { return IsAlnum(c) || c == '-'; });
}

// "host", "host:port" or "[v6]:port" taken apart; brackets stay off the host.
struct HostPort {
  std::string_view host;
  std::string_view port;
  bool bracketed = false;
  bool has_port = false;
};

bool SplitHostPort(std::string_view domain, HostPort& into) {
  std::string_view rest = domain;
  if (rest.starts_with("[")) {
    const size_t end = rest.find(']');
    if (end == std::string_view::npos) return false;
    into.bracketed = true;
    into.host = rest.substr(1, end - 1);
    rest = rest.substr(end + 1);
  } else {
    into.host = rest.substr(0, rest.find(':'));
    rest = rest.substr(into.host.size());
  }
  if (rest.empty()) return true;
  into.has_port = true;
  into.port = rest.substr(1);
  return rest.front() == ':';
}

bool IsDomain(std::string_view domain) {
  HostPort parts;
  if (domain.size() > 253 || !SplitHostPort(domain, parts)) return false;
  if (parts.has_port && !IsPort(parts.port)) return false;
  if (parts.bracketed) {
    in6_addr ignored{};
    return ::inet_pton(AF_INET6, std::string(parts.host).c_str(), &ignored) == 1;
  }
  const std::vector<std::string_view> labels = Split(parts.host, '.');
  return std::all_of(labels.begin(), labels.end(), IsHostLabel);
}

// Lower-case words separated by one dot, one or two underscores, or any number of dashes.
bool IsPathComponent(std::string_view text) {
  if (text.empty() || !IsLowerOrDigit(text.front()) || !IsLowerOrDigit(text.back())) return false;
  for (size_t i = 0; i < text.size();) {
    if (IsLowerOrDigit(text[i])) {
      ++i;
      continue;
    }
    const char separator = text[i];
    const size_t end = std::min(text.find_first_not_of(separator, i), text.size());
    const size_t run = end - i;
    const bool allowed =
        separator == '-' || (separator == '.' && run == 1) || (separator == '_' && run <= 2);
    if (!allowed || !IsLowerOrDigit(text[end])) return false;
    i = end;
  }
  return true;
}

bool IsTag(std::string_view tag) {
  return !tag.empty() && tag.size() <= kMaxTagBytes && tag.front() != '.' && tag.front() != '-' &&
         std::all_of(tag.begin(), tag.end(),
                     [](char c) { return IsAlnum(c) || c == '_' || c == '.' || c == '-'; });
}

// The first component names a registry if it looks like a host; otherwise it is part of the path.
void SplitDomain(std::string_view name, Reference& into) {
  const size_t slash = name.find('/');
  const std::string_view first = name.substr(0, slash);
  if (slash == std::string_view::npos ||
      (first != "localhost" && first.find_first_of(".:[") == std::string_view::npos &&
       !HasUpper(first))) {
    into.domain = std::string(kDefaultDomain);
    into.path = std::string(name);
  } else {
    into.domain = std::string(first == "index.docker.io" ? kDefaultDomain : first);
    into.path = std::string(name.substr(slash + 1));
  }
  if (into.domain == kDefaultDomain && into.path.find('/') == std::string::npos) {
    into.path = StrCat("library/", into.path);
  }
}

}  // namespace

std::string Reference::Normalized() const {
  return StrCat(domain, "/", path, tag.empty() ? "" : ":", tag, digest.empty() ? "" : "@", digest);
}

std::string Reference::WithDigest(std::string_view pinned) const {
  return StrCat(domain, "/", path, "@", pinned);
}

std::string Reference::ForFetch() const {
  return digest.empty() ? StrCat(domain, "/", path, ":", tag) : WithDigest(digest);
}

bool Reference::IsLoopback() const {
  HostPort parts;
  if (!SplitHostPort(domain, parts)) return false;
  const std::string host(parts.host);
  if (parts.bracketed) {
    in6_addr address{};
    return ::inet_pton(AF_INET6, host.c_str(), &address) == 1 && IN6_IS_ADDR_LOOPBACK(&address);
  }
  in_addr address{};
  if (::inet_pton(AF_INET, host.c_str(), &address) == 1) {
    return (ntohl(address.s_addr) >> 24) == 127;
  }
  return host == "localhost";
}

StatusOr<Reference> ParseReference(std::string_view text) {
  const auto bad = [text](std::string_view why) {
    return BadReference(StrCat("'", Printable(text, 120), "' is no image reference: ", why));
  };
  if (text.empty()) return bad("it is empty");
  if (text.size() > kMaxReferenceBytes) return bad("it is too long");
  Reference reference;
  std::string_view name = text;
  if (const size_t at = name.find('@'); at != std::string_view::npos) {
    reference.digest = std::string(name.substr(at + 1));
    name = name.substr(0, at);
    if (!IsDigest(reference.digest)) return bad("after '@' stands no sha256 digest");
  }
  const size_t colon = name.rfind(':');
  const size_t slash = name.rfind('/');
  if (colon != std::string_view::npos && (slash == std::string_view::npos || colon > slash)) {
    reference.tag = std::string(name.substr(colon + 1));
    name = name.substr(0, colon);
    if (!IsTag(reference.tag)) return bad("the tag is not one");
  }
  if (IsDigestHex(name)) return bad("64 hexadecimal digits could also mean an image id");
  SplitDomain(name, reference);
  if (!IsDomain(reference.domain)) return bad("the registry is no host or host:port");
  const std::vector<std::string_view> components = Split(reference.path, '/');
  if (!std::all_of(components.begin(), components.end(), IsPathComponent)) {
    return bad("the repository is not lower-case words separated by '/', '.', '_' or '-'");
  }
  if (reference.domain.size() + 1 + reference.path.size() > kMaxNameBytes) {
    return bad("the name is too long");
  }
  if (reference.tag.empty() && reference.digest.empty()) reference.tag = "latest";
  return reference;
}

StatusOr<std::string> NormalizeReference(std::string_view reference) {
  ASSIGN_OR_RETURN(const Reference parsed, ParseReference(reference));
  return parsed.Normalized();
}

}  // namespace claw::image
