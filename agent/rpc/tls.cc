#include "agent/rpc/tls.h"

#include <sys/stat.h>

#include "agent/base/file.h"
#include "agent/base/strings.h"

namespace claw::rpc {
namespace {

constexpr int64_t kMaxPemBytes = 1 << 20;

Status Bad(const std::filesystem::path& file, std::string_view why) {
  return MakeError(StatusCode::kFailedPrecondition, StrCat(file.string(), " ", why),
                   {.reason = "BAD_CERTIFICATE"});
}

StatusOr<std::string> ReadPem(const std::filesystem::path& file, std::string_view kind) {
  StatusOr<std::string> text = ReadFile(file, kMaxPemBytes);
  if (!text.ok()) return Annotate(text.status(), StrCat("read ", file.string()));
  // "EC PRIVATE KEY" is one, too.
  if (text->find(StrCat(kind, "-----")) == std::string::npos) {
    return Bad(file, StrCat("holds no PEM of the kind ", kind));
  }
  return text;
}

Status CheckPrivate(const std::filesystem::path& file) {
  struct stat info {};
  if (::stat(file.c_str(), &info) != 0) return ErrnoError(errno, StrCat("look at ", file.string()));
  if ((info.st_mode & 0077) == 0) return absl::OkStatus();
  return Bad(file, "can be read by others; chmod it to 0600");
}

}  // namespace

StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(const TlsListen& listen) {
  RETURN_IF_ERROR(CheckPrivate(listen.key));
  grpc::SslServerCredentialsOptions options(
      GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  grpc::SslServerCredentialsOptions::PemKeyCertPair pair;
  ASSIGN_OR_RETURN(pair.private_key, ReadPem(listen.key, "PRIVATE KEY"));
  ASSIGN_OR_RETURN(pair.cert_chain, ReadPem(listen.certificate, "CERTIFICATE"));
  options.pem_key_cert_pairs.push_back(std::move(pair));
  ASSIGN_OR_RETURN(options.pem_root_certs, ReadPem(listen.client_ca, "CERTIFICATE"));
  return grpc::SslServerCredentials(options);
}

}  // namespace claw::rpc
