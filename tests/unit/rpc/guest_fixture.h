#pragma once

#include <sys/stat.h>

#include <atomic>

#include "agent/base/file.h"
#include "claw/node/v1/guest.grpc.pb.h"
#include "drivers/guest/guest_link.h"
#include "tests/unit/rpc/service_fixture.h"
#include "vm/identity.h"

namespace claw::test {

// An agent in the role of a guest, as its host reaches it.
class GuestFixture : public NodeFixture {
 public:
  GuestFixture() : context_(context()) {
    context_.role = NodeRole::kGuest;
    context_.guest.set_clock = [this](Time time) {
      clock().Set(time);
      ++clock_sets;
      return absl::OkStatus();
    };
    context_.guest.images = &images_on_disk();
    context_.guest.power_off = [this] { ++power_offs; };
    identity = Identity();
    Write("authority.pem", identity.authority);
    Write("guest.pem", identity.guest_certificate);
    Write("guest.key", identity.guest_key);
    server_ = Start();
  }
  ~GuestFixture() {
    std::promise<void> done;
    server_->Shutdown(std::chrono::seconds(0), [&] { done.set_value(); });
    done.get_future().wait();
  }

  static vm::GuestIdentity Identity() {
    auto made = vm::MakeGuestIdentity("mac1", SystemClock().Now(), std::chrono::hours(1));
    REQUIRE(made.ok());
    return *std::move(made);
  }

  std::unique_ptr<rpc::Server> Start() {
    auto server = TryStart();
    INFO(ToLogString(server.status()));
    REQUIRE(server.ok());
    return *std::move(server);
  }
  StatusOr<std::unique_ptr<rpc::Server>> TryStart() {
    return rpc::Server::Start({.socket = dir().path() / "api.sock",
                               .tls = rpc::TlsListen{.address = "127.0.0.1:0",
                                                     .certificate = dir().path() / "guest.pem",
                                                     .key = dir().path() / "guest.key",
                                                     .client_ca = dir().path() / "authority.pem"}},
                              context_);
  }
  void Write(const std::string& name, const std::string& text, mode_t mode = 0600) {
    REQUIRE(WriteFileAtomic(dir().path() / name, text, mode).ok());
  }

  std::shared_ptr<drivers::Guest> Dial(const GuestCredentials& credentials,
                                       const std::string& version = "9.9") {
    auto guest = drivers::MakeDialGuest(version)(server_->port(), credentials);
    REQUIRE(guest.ok());
    return *std::move(guest);
  }
  GuestCredentials Host() const {
    return {.authority = identity.authority,
            .certificate = identity.host_certificate,
            .key = identity.host_key};
  }
  std::shared_ptr<grpc::Channel> Channel(std::shared_ptr<grpc::ChannelCredentials> credentials) {
    grpc::ChannelArguments arguments;
    arguments.SetSslTargetNameOverride("guest");
    return grpc::CreateCustomChannel(StrCat("127.0.0.1:", server_->port()), credentials, arguments);
  }

  // As its host.
  std::shared_ptr<grpc::Channel> HostChannel() {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = identity.authority;
    options.pem_cert_chain = identity.host_certificate;
    options.pem_private_key = identity.host_key;
    return Channel(grpc::SslCredentials(options));
  }

  vm::GuestIdentity identity;
  std::atomic<int> clock_sets = 0;
  std::atomic<int> power_offs = 0;

 private:
  rpc::Context context_;
  std::unique_ptr<rpc::Server> server_;
};

}  // namespace claw::test
