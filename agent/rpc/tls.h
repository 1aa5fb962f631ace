#pragma once

#include <grpcpp/security/server_credentials.h>

#include <filesystem>
#include <memory>
#include <string>

#include "agent/base/status.h"

namespace claw::rpc {

// Where the API is served over a network, and what proves who is who.
struct TlsListen {
  std::string address{};  // as ParseTcpAddress reads it
  std::filesystem::path certificate{};
  std::filesystem::path key{};
  std::filesystem::path client_ca{};
};

// Callers have to prove who they are, by a certificate of client_ca. The files are read now.
// FAILED_PRECONDITION, reason BAD_CERTIFICATE: one of them is not what it has to be, or others may
// read the key.
StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(const TlsListen& listen);

}  // namespace claw::rpc
