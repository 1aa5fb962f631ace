#include "agent/base/listen_address.h"
#include "agent/host/pressure.h"
#include "tests/unit/rpc/guest_fixture.h"

namespace claw::test {
namespace {

constexpr auto kSoon = std::chrono::seconds(20);

std::string ReasonOf(const Status& status) {
  return GetErrorDetail(status).value_or(ErrorDetail{}).reason;
}

TEST_CASE_METHOD(GuestFixture,
                 "guests: the host looks at them, sets their clock, switches them off") {
  const auto guest = Dial(Host());
  const auto look = guest->Look(kSoon);
  INFO(ToLogString(look.status()));
  REQUIRE(look.ok());
  CHECK(look->agent_version == "9.9");
  CHECK(look->boot_id == "boot");
  CHECK(look->architecture == "amd64");
  CHECK(look->pressure == "calm");
  CHECK(look->memory_total_bytes == host::ReadMemoryPressure()->total_bytes);
  CHECK(look->capacity_bytes == 8 * kGiB);
  CHECK(look->allocatable_bytes == 8 * kGiB);  // these tests reserve nothing
  CHECK(look->ready);

  // Half a second is not worth a step.
  const Time now = clock().Now();
  CHECK(guest->SetClock(now + std::chrono::milliseconds(400))->count() == 0);
  CHECK(clock_sets == 0);
  // The clock of these tests moves a little with each look.
  const auto is_near = [](std::chrono::microseconds a, std::chrono::microseconds b) {
    return a - b < std::chrono::seconds(1) && b - a < std::chrono::seconds(1);
  };
  CHECK(is_near(*guest->SetClock(now + std::chrono::hours(5)), std::chrono::hours(5)));
  CHECK(is_near(clock().Now() - now, std::chrono::hours(5)));
  CHECK(is_near(*guest->SetClock(now), std::chrono::hours(-5)));
  CHECK(guest->SetClock(FromMicros(0)).status().code() == StatusCode::kInvalidArgument);
  CHECK(clock_sets == 2);

  CHECK(guest->PowerOff(false).ok());
  CHECK(power_offs == 1);
}

TEST_CASE_METHOD(GuestFixture, "guests: one of another version is not spoken to any further") {
  const auto guest = Dial(Host(), "10.0");
  CHECK(ReasonOf(guest->Look(kSoon).status()) == "GUEST_VERSION_MISMATCH");
}

TEST_CASE_METHOD(GuestFixture, "guests: nobody else gets in") {
  const vm::GuestIdentity other = Identity();
  SECTION("the host of another guest") {
    const auto guest = Dial({.authority = identity.authority,
                             .certificate = other.host_certificate,
                             .key = other.host_key});
    CHECK(ReasonOf(guest->Look(kSoon).status()) == "GUEST_UNREACHABLE");
  }
  SECTION("another guest in this one's place") {
    const auto guest = Dial({.authority = other.authority,
                             .certificate = identity.host_certificate,
                             .key = identity.host_key});
    CHECK(ReasonOf(guest->Look(kSoon).status()) == "GUEST_UNREACHABLE");
  }
  SECTION("without a certificate, and without TLS") {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = identity.authority;
    for (const auto& credentials :
         {grpc::SslCredentials(options), grpc::InsecureChannelCredentials()}) {
      const auto stub = pb::NodeService::NewStub(Channel(credentials));
      pb::Node node;
      Call call;
      call.set_deadline(std::chrono::system_clock::now() + kSoon);
      CHECK(stub->GetNode(&call, {}, &node).error_code() == grpc::StatusCode::UNAVAILABLE);
      CHECK(node.node_id().empty());
    }
  }
  CHECK(Dial(Host())->Look(kSoon).ok());
}

TEST_CASE_METHOD(GuestFixture, "guests: who changes something is known by his certificate") {
  const auto channel = HostChannel();
  pb::CreateTenantRequest request;
  request.set_tenant_id("acme");
  pb::Tenant tenant;
  Call call;
  REQUIRE(pb::TenantService::NewStub(channel)->CreateTenant(&call, request, &tenant).ok());
  pb::ListEventsRequest query;
  query.set_subject("tenants/acme");
  pb::ListEventsResponse events;
  Call second;
  REQUIRE(pb::EventService::NewStub(channel)->ListEvents(&second, query, &events).ok());
  REQUIRE(events.events_size() == 1);
  CHECK(events.events(0).actor() == "tls:claw://host");
}

TEST_CASE_METHOD(GuestFixture, "guests: a key that others may read, or that is none, is not used") {
  Write("guest.key", identity.guest_key, 0644);
  CHECK(ReasonOf(TryStart().status()) == "BAD_CERTIFICATE");
  Write("guest.key", "-----BEGIN NONSENSE-----\n");
  CHECK(ReasonOf(TryStart().status()) == "BAD_CERTIFICATE");
  Write("guest.key", identity.host_key);  // another one's
  CHECK_FALSE(TryStart().ok());
}

TEST_CASE_METHOD(ServiceFixture, "guests: a host does not answer as one") {
  const auto stub = pb::GuestService::NewStub(channel());
  pb::Guest guest;
  Call call;
  CHECK(stub->GetGuest(&call, {}, &guest).error_code() == grpc::StatusCode::UNIMPLEMENTED);
}

TEST_CASE("addresses for who proves who he is: any, but a whole one") {
  CHECK(ParseTcpAddress("0.0.0.0:50051")->port == 50051);
  CHECK(ToString(*ParseTcpAddress("[fd00::1]:443")) == "[fd00::1]:443");
  for (const char* bad :
       {"", "50051", ":50051", "localhost:1", "0.0.0.0", "0.0.0.0:65536", "0.0.0.0:-1",
        "fd00::1:443", "[0.0.0.0]:1", "unix:/a", "1.2.3:4", "0.0.0.0:1 "}) {
    INFO(bad);
    CHECK_FALSE(ParseTcpAddress(bad).ok());
  }
}

}  // namespace
}  // namespace claw::test
