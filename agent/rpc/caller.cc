#include "agent/rpc/caller.h"

#include <grpc/grpc_security_constants.h>

#include <pwd.h>

#include <array>
#include <cstdint>

#include "agent/base/descriptors.h"
#include "agent/base/strings.h"

namespace claw::rpc {
namespace {

constexpr char kUnknown[] = "unknown";

std::string NameOfUser(uid_t uid) {
  passwd entry{};
  passwd* found = nullptr;
  std::array<char, 4096> buffer;
  if (::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) {
    return "";
  }
  return entry.pw_name;
}

// The first URI that the certificate names, or its subject's name.
std::string NameOfCertificate(const grpc::AuthContext& context) {
  for (const char* property : {GRPC_PEER_URI_PROPERTY_NAME, GRPC_X509_SUBJECT_PROPERTY_NAME}) {
    for (const grpc::string_ref& value : context.FindPropertyValues(property)) {
      return StrCat("tls:", std::string_view(value.data(), value.size()));
    }
  }
  return kUnknown;
}

}  // namespace

std::string CallerIdentity(const grpc::CallbackServerContext& call) {
  const auto context = call.auth_context();
  if (context != nullptr && context->IsPeerAuthenticated()) return NameOfCertificate(*context);
  // Connections are handed to gRPC as descriptors (acceptor.h), and that is how it names them.
  const std::string peer = call.peer();
  const std::string_view number = std::string_view(peer).substr(peer.find(':') + 1);
  int64_t fd = -1;
  if (!peer.starts_with("fd:") || !ParseInt(number, &fd)) return kUnknown;
  const StatusOr<uid_t> user = PeerUser(static_cast<int>(fd));
  if (!user.ok()) return kUnknown;
  return StrCat("unix:", NameOfUser(*user), "(", *user, ")");
}

}  // namespace claw::rpc
