#include "vm/identity.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <catch2/catch.hpp>
#include <memory>

namespace claw::vm {
namespace {

template <auto kFree>
struct Freed {
  template <typename T>
  void operator()(T* value) const {
    kFree(value);
  }
};
using Ctx = std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>>;
using Ssl = std::unique_ptr<SSL, Freed<SSL_free>>;
using Bio = std::unique_ptr<BIO, Freed<BIO_free_all>>;
using Cert = std::unique_ptr<X509, Freed<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;

Bio Read(const std::string& pem) {
  return Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

Cert ReadCert(const std::string& pem) {
  return Cert(PEM_read_bio_X509(Read(pem).get(), nullptr, nullptr, nullptr));
}

struct End {
  std::string authority;    // whom it trusts
  std::string certificate;  // empty: it has none
  std::string key;
};

Ctx MakeContext(const SSL_METHOD* method, const End& end) {
  Ctx context(SSL_CTX_new(method));
  REQUIRE(context);
  SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION);
  const Cert authority = ReadCert(end.authority);
  REQUIRE(X509_STORE_add_cert(SSL_CTX_get_cert_store(context.get()), authority.get()) == 1);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  if (end.certificate.empty()) return context;
  const Key key(PEM_read_bio_PrivateKey(Read(end.key).get(), nullptr, nullptr, nullptr));
  REQUIRE(SSL_CTX_use_certificate(context.get(), ReadCert(end.certificate).get()) == 1);
  REQUIRE(SSL_CTX_use_PrivateKey(context.get(), key.get()) == 1);
  return context;
}

// Whether both ends accept each other, in TLS 1.3.
bool Shake(const End& guest, const End& host) {
  ERR_clear_error();
  const Ctx server = MakeContext(TLS_server_method(), guest);
  const Ctx client = MakeContext(TLS_client_method(), host);
  const Ssl a(SSL_new(server.get()));
  const Ssl b(SSL_new(client.get()));
  REQUIRE(SSL_set1_host(b.get(), kGuestDnsName) == 1);
  BIO* left = nullptr;
  BIO* right = nullptr;
  REQUIRE(BIO_new_bio_pair(&left, 0, &right, 0) == 1);
  SSL_set_bio(a.get(), left, left);
  SSL_set_bio(b.get(), right, right);
  SSL_set_accept_state(a.get());
  SSL_set_connect_state(b.get());
  for (int i = 0; i < 20; ++i) {
    const int first = SSL_do_handshake(b.get());
    const int second = SSL_do_handshake(a.get());
    if (first == 1 && second == 1) return SSL_version(a.get()) == TLS1_3_VERSION;
    for (const auto& [ssl, code] : {std::pair(b.get(), first), std::pair(a.get(), second)}) {
      const int error = SSL_get_error(ssl, code);
      if (code != 1 && error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) return false;
    }
  }
  return false;
}

GuestIdentity Make(const std::string& vm, Time now,
                   std::chrono::hours lifetime = std::chrono::hours(1)) {
  auto identity = MakeGuestIdentity(vm, now, lifetime);
  REQUIRE(identity.ok());
  return *std::move(identity);
}

End Guest(const GuestIdentity& id) { return {id.authority, id.guest_certificate, id.guest_key}; }
End Host(const GuestIdentity& id) { return {id.authority, id.host_certificate, id.host_key}; }

TEST_CASE("a guest and its host know each other, and nobody else") {
  const Time now = SystemClock().Now();
  const GuestIdentity mine = Make("a", now);
  const GuestIdentity other = Make("b", now);
  CHECK(Shake(Guest(mine), Host(mine)));
  // The host of another guest, nobody, and another guest in this one's place.
  CHECK_FALSE(Shake(Guest(mine), Host(other)));
  CHECK_FALSE(Shake(Guest(mine), {mine.authority, "", ""}));
  CHECK_FALSE(Shake(Guest(other), Host(mine)));
  CHECK_FALSE(Shake(Guest(mine), {mine.authority, other.host_certificate, other.host_key}));
  // The guest itself is not its host.
  CHECK_FALSE(Shake(Guest(mine), {mine.authority, mine.guest_certificate, mine.guest_key}));
  CHECK_FALSE(Shake({mine.authority, mine.host_certificate, mine.host_key}, Host(mine)));
}

TEST_CASE("certificates end, and are valid a day before they are made") {
  const Time now = SystemClock().Now();
  const GuestIdentity over = Make("a", now - std::chrono::hours(48), std::chrono::hours(24));
  CHECK_FALSE(Shake(Guest(over), Host(over)));
  const GuestIdentity ahead = Make("a", now + std::chrono::hours(23));
  CHECK(Shake(Guest(ahead), Host(ahead)));
  const GuestIdentity far_ahead = Make("a", now + std::chrono::hours(25));
  CHECK_FALSE(Shake(Guest(far_ahead), Host(far_ahead)));
  CHECK(over.expires_at == now - std::chrono::hours(24));
}

TEST_CASE("no two identities share a key or a number") {
  const Time now = SystemClock().Now();
  const GuestIdentity one = Make("a", now);
  const GuestIdentity two = Make("a", now);
  CHECK(one.guest_key != two.guest_key);
  CHECK(one.guest_key != one.host_key);
  CHECK(one.authority != two.authority);
  const Cert a = ReadCert(one.guest_certificate);
  const Cert b = ReadCert(one.host_certificate);
  CHECK(ASN1_INTEGER_cmp(X509_get0_serialNumber(a.get()), X509_get0_serialNumber(b.get())) != 0);
}

}  // namespace
}  // namespace claw::vm
