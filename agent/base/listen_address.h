#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "agent/base/status.h"

namespace claw {

// Where something is served: on an address, or on a unix socket.
struct ListenAddress {
  std::string host{};  // "127.0.0.1", "::1"; empty: a unix socket
  uint16_t port = 0;   // 0: one that is free
  std::filesystem::path socket{};

  bool is_unix() const { return host.empty(); }
  bool operator==(const ListenAddress&) const = default;
};

// "127.0.0.1:9464", "[::1]:9464" or "unix:/absolute/path". INVALID_ARGUMENT for anything else, and
// for an address that other machines may reach.
StatusOr<ListenAddress> ParseListenAddress(std::string_view text);

// "0.0.0.0:50051" or "[fd00::1]:50051": any address, for what proves who its callers are.
// INVALID_ARGUMENT for anything else.
StatusOr<ListenAddress> ParseTcpAddress(std::string_view text);

// As they read it.
std::string ToString(const ListenAddress& address);

}  // namespace claw
