#include "tests/integration/guest/guest_agent.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "agent/base/file.h"
#include "agent/base/id.h"
#include "agent/base/strings.h"
#include "agent/budget/ledger.h"
#include "agent/host/host_info.h"
#include "drivers/guest/guest_link.h"
#include "tests/support/busybox_root.h"

namespace claw::test {
namespace {

constexpr int64_t kWorkload = 64 * kMiB;

// One that nothing listens on.
int FreePort() {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  REQUIRE(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
  REQUIRE(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  return ntohs(address.sin_port);
}

}  // namespace

GuestAgent::GuestAgent() {
  MakeBusyboxRoot(root());
  identity_ = vm::MakeGuestIdentity("mac1", SystemClock().Now(), std::chrono::hours(1)).value();
  const std::filesystem::path keys = dir_.path();
  REQUIRE(WriteFileAtomic(keys / "authority.pem", identity_.authority, 0600).ok());
  REQUIRE(WriteFileAtomic(keys / "guest.pem", identity_.guest_certificate, 0600).ok());
  REQUIRE(WriteFileAtomic(keys / "guest.key", identity_.guest_key, 0600).ok());
  port_ = FreePort();
  AgentSetup setup;
  setup.config =
      StrCat("[node]\nid = \"mac1\"\nrole = \"guest\"\n\n[server]\nlisten = \"127.0.0.1:", port_,
             "\"\ncertificate = \"", (keys / "guest.pem").string(), "\"\nkey = \"",
             (keys / "guest.key").string(), "\"\nclient_ca = \"", (keys / "authority.pem").string(),
             "\"\n");
  agent_ = std::make_unique<Agent>(std::move(setup));
}

std::shared_ptr<drivers::Guest> GuestAgent::Dial() {
  const auto status = nlohmann::json::parse(agent_->Must({"status", "-o", "json"}));
  const std::string version = status.at("agent_version");
  auto guest = drivers::MakeDialGuest(version)(port_, {.authority = identity_.authority,
                                                       .certificate = identity_.host_certificate,
                                                       .key = identity_.host_key});
  REQUIRE(guest.ok());
  return *std::move(guest);
}

GuestDriverFixture::GuestDriverFixture(IsolationClass isolation, std::shared_ptr<GuestAgent> agent)
    : isolation_(isolation), agent_(agent ? std::move(agent) : std::make_shared<GuestAgent>()) {
  guest_ = agent_->Dial();
  const auto look = guest_->Look(std::chrono::seconds(20));
  INFO(ToLogString(look.status()));
  REQUIRE(look.ok());
  found_ = driver().Probe();
  INFO(found_.message);
  REQUIRE(found_.healthy);
}

GuestDriverFixture::~GuestDriverFixture() {
  const auto ids = driver().List();
  if (agent_.use_count() > 1) return;
  for (const std::string& id : ids.value_or(std::vector<std::string>())) {
    driver().Destroy(id).IgnoreError();
    driver().Purge(id).IgnoreError();
  }
}

Image GuestDriverFixture::image() const {
  Image image;
  image.digest = StrCat("sha256:", std::string(64, 'b'));
  image.names = {"busybox:sent"};
  image.architecture = host::ReadHostInfo().value().architecture;
  image.entrypoint = {"/bin/sh"};
  return image;
}

drivers::LaunchSpec GuestDriverFixture::Shell(const std::string& script) {
  auto facts = std::make_shared<drivers::GuestFacts>();
  facts->image = image();
  const bool trusted = isolation_ == IsolationClass::kContainer;
  facts->tenant.name = trusted ? "house" : "guest";
  facts->tenant.trust = trusted ? Trust::kTrusted : Trust::kUntrusted;
  CompatVerdict verdict;
  verdict.image_digest = facts->image.digest;
  verdict.runtime_version = found_.runtime_version;
  verdict.platform = found_.platform;
  verdict.architecture = facts->image.architecture;
  verdict.result = CompatResult::kCompatible;
  verdict.summary = "the host has tested it";
  facts->verdicts = {verdict};
  facts->spec.tenant = facts->tenant.name;
  facts->spec.image = "busybox:sent";
  facts->spec.workload_bytes = kWorkload;
  facts->spec.pids_max = 64;

  drivers::LaunchSpec spec;
  spec.id = RandomHex(kSandboxIdLength);
  spec.image_rootfs = agent_->root();
  spec.argv = {"sh", "-c", script};
  spec.env = {"PATH=/bin"};
  spec.working_directory = "/";
  spec.hostname = spec.id;
  // The guest charges by itself: what nothing has been measured of, by its prior.
  spec.resources.memory = budget::Charge(kWorkload, found_.overhead_prior_bytes, 0);
  spec.resources.pids_max = 64;
  spec.record_json = "{}";
  spec.guest = facts;
  return spec;
}

}  // namespace claw::test
