#include "vm/identity.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <array>
#include <memory>

#include "agent/base/strings.h"

namespace claw::vm {
namespace {

constexpr std::chrono::hours kBefore = std::chrono::hours(24);

template <auto kFree>
struct Freed {
  template <typename T>
  void operator()(T* value) const {
    kFree(value);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Freed<X509_EXTENSION_free>>;
using Memory = std::unique_ptr<BIO, Freed<BIO_free_all>>;

struct Pair {
  Key key;
  Certificate certificate;
};

Status CryptoError(std::string_view doing) {
  std::array<char, 256> text{};
  ERR_error_string_n(ERR_get_error(), text.data(), text.size());
  return Internal(doing, ": ", text.data());
}

Status SetNumber(X509& certificate) {
  std::array<unsigned char, 16> bytes{};
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) {
    return CryptoError("choose a serial number");
  }
  bytes[0] = static_cast<unsigned char>(bytes[0] & 0x7f);  // positive, as RFC 5280 wants it
  const std::unique_ptr<BIGNUM, Freed<BN_free>> number(
      BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr));
  if (!number || BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(&certificate)) == nullptr) {
    return CryptoError("set the serial number");
  }
  return absl::OkStatus();
}

Status AddExtension(X509& certificate, X509& issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, &issuer, &certificate, nullptr, nullptr, 0);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()));
  if (!extension || X509_add_ext(&certificate, extension.get(), -1) != 1) {
    return CryptoError("add an extension");
  }
  return absl::OkStatus();
}

struct Wanted {
  std::string name{};
  std::string alternative_names{};  // empty: it is the authority
  std::string usage{};
  Time from{};
  Time to{};
};

StatusOr<Pair> Make(const Wanted& wanted, const Pair* authority) {
  Pair pair{.key = Key(EVP_EC_gen("P-256")), .certificate = Certificate(X509_new())};
  if (!pair.key || !pair.certificate) return CryptoError("make a key");
  X509& certificate = *pair.certificate;
  RETURN_IF_ERROR(SetNumber(certificate));
  const auto seconds = [](Time time) { return static_cast<time_t>(ToMicros(time) / 1'000'000); };
  X509_NAME* subject = X509_get_subject_name(&certificate);
  const auto* text = reinterpret_cast<const unsigned char*>(wanted.name.c_str());
  const bool set =
      X509_set_version(&certificate, X509_VERSION_3) == 1 &&
      ASN1_TIME_set(X509_getm_notBefore(&certificate), seconds(wanted.from)) != nullptr &&
      ASN1_TIME_set(X509_getm_notAfter(&certificate), seconds(wanted.to)) != nullptr &&
      X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, text, -1, -1, 0) == 1 &&
      X509_set_pubkey(&certificate, pair.key.get()) == 1;
  if (!set) return CryptoError("fill in a certificate");
  const Pair& issuer = authority == nullptr ? pair : *authority;
  if (X509_set_issuer_name(&certificate, X509_get_subject_name(issuer.certificate.get())) != 1) {
    return CryptoError("name the issuer");
  }
  X509& above = *issuer.certificate;
  if (authority == nullptr) {
    RETURN_IF_ERROR(
        AddExtension(certificate, above, NID_basic_constraints, "critical,CA:TRUE,pathlen:0"));
    RETURN_IF_ERROR(AddExtension(certificate, above, NID_key_usage, "critical,keyCertSign"));
  } else {
    RETURN_IF_ERROR(AddExtension(certificate, above, NID_basic_constraints, "critical,CA:FALSE"));
    RETURN_IF_ERROR(AddExtension(certificate, above, NID_key_usage, "critical,digitalSignature"));
    RETURN_IF_ERROR(AddExtension(certificate, above, NID_ext_key_usage, wanted.usage));
    RETURN_IF_ERROR(
        AddExtension(certificate, above, NID_subject_alt_name, wanted.alternative_names));
  }
  if (X509_sign(&certificate, issuer.key.get(), EVP_sha256()) == 0) return CryptoError("sign it");
  return pair;
}

StatusOr<std::string> Text(BIO* memory) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory, &data);
  if (size <= 0) return CryptoError("write PEM");
  return std::string(data, static_cast<size_t>(size));
}

StatusOr<std::string> Pem(X509& certificate) {
  const Memory memory(BIO_new(BIO_s_mem()));
  if (!memory || PEM_write_bio_X509(memory.get(), &certificate) != 1) {
    return CryptoError("write a certificate");
  }
  return Text(memory.get());
}

StatusOr<std::string> Pem(EVP_PKEY& key) {
  const Memory memory(BIO_new(BIO_s_mem()));
  if (!memory ||
      PEM_write_bio_PrivateKey(memory.get(), &key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return CryptoError("write a key");
  }
  return Text(memory.get());
}

}  // namespace

StatusOr<GuestIdentity> MakeGuestIdentity(const std::string& vm, Time now,
                                          std::chrono::hours lifetime) {
  GuestIdentity identity;
  identity.expires_at = now + lifetime;
  Wanted wanted{.name = "clawlet VM", .from = now - kBefore, .to = identity.expires_at};
  ASSIGN_OR_RETURN(const Pair authority, Make(wanted, nullptr));
  wanted.name = "guest";
  wanted.alternative_names = StrCat("URI:claw://guest/", vm, ",DNS:", kGuestDnsName);
  wanted.usage = "serverAuth";
  ASSIGN_OR_RETURN(const Pair guest, Make(wanted, &authority));
  wanted.name = "host";
  wanted.alternative_names = "URI:claw://host";
  wanted.usage = "clientAuth";
  ASSIGN_OR_RETURN(const Pair host, Make(wanted, &authority));
  ASSIGN_OR_RETURN(identity.authority, Pem(*authority.certificate));
  ASSIGN_OR_RETURN(identity.guest_certificate, Pem(*guest.certificate));
  ASSIGN_OR_RETURN(identity.guest_key, Pem(*guest.key));
  ASSIGN_OR_RETURN(identity.host_certificate, Pem(*host.certificate));
  ASSIGN_OR_RETURN(identity.host_key, Pem(*host.key));
  return identity;
}

}  // namespace claw::vm
