#include "drivers/guest/guest_link.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <array>

#include "agent/base/strings.h"
#include "agent/model/json.h"
#include "drivers/guest/guest_client.h"
#include "drivers/guest/image_sender.h"
#include "drivers/guest/sandbox_driver.h"

namespace claw::drivers {
namespace {

// The name in a guest's certificate.
constexpr const char* kGuestName = "guest";
// A guest that stands still does not answer, and says nothing of it.
constexpr int kKeepAliveMs = 10'000;
constexpr int kKeepAliveTimeoutMs = 5'000;
// A test runs an image's probes several times, each up to ten minutes.
constexpr std::chrono::milliseconds kLongestTest = std::chrono::hours(2);
constexpr std::array<IsolationClass, 3> kClasses = {
    IsolationClass::kContainer, IsolationClass::kGvisor, IsolationClass::kLegacyHardened};

class GuestLink final : public Guest {
 public:
  GuestLink(const std::shared_ptr<grpc::Channel>& channel, std::string version)
      : client_(std::make_shared<GuestClient>(channel)), version_(std::move(version)) {
    const auto exits = std::make_shared<ExitWatch>(client_);
    for (const IsolationClass isolation : kClasses) {
      drivers_.push_back(MakeSandboxDriver(client_, exits, isolation));
    }
  }

  StatusOr<GuestLook> Look(std::chrono::milliseconds at_most) override {
    const auto end = std::chrono::system_clock::now() + at_most;
    pb::Guest guest;
    grpc::ClientContext first;
    first.set_deadline(end);
    RETURN_IF_ERROR(FromGuest(client_->guest->GetGuest(&first, {}, &guest), "look at the guest"));
    if (guest.agent_version() != version_) {
      return MakeError(StatusCode::kFailedPrecondition,
                       StrCat("the guest runs clawlet ", guest.agent_version(), ", its host ",
                              version_, "; make the guest image again (tools/guest-image build)"),
                       {.reason = "GUEST_VERSION_MISMATCH",
                        .constraint = "agent_version",
                        .needed = version_,
                        .available = guest.agent_version()});
    }
    pb::Node node;
    grpc::ClientContext second;
    second.set_deadline(end);
    RETURN_IF_ERROR(
        FromGuest(client_->node->GetNode(&second, {}, &node), "look at the guest's node"));
    return Translate(guest, node);
  }

  StatusOr<std::chrono::milliseconds> SetClock(Time now) override {
    pb::SetClockRequest request;
    request.mutable_time()->set_seconds(ToMicros(now) / 1'000'000);
    request.mutable_time()->set_nanos(static_cast<int32_t>(ToMicros(now) % 1'000'000) * 1000);
    ASSIGN_OR_RETURN(
        const pb::SetClockResponse response,
        Ask(*client_->guest, &pb::GuestService::Stub::SetClock, request, "set the guest's clock"));
    return std::chrono::milliseconds(response.correction().seconds() * 1000 +
                                     response.correction().nanos() / 1'000'000);
  }

  Status PowerOff(bool force) override {
    pb::PowerOffRequest request;
    request.set_force(force);
    return Ask(*client_->guest, &pb::GuestService::Stub::PowerOff, request, "switch the guest off")
        .status();
  }

  Status RestartAgent(bool at_once) override {
    pb::RestartAgentRequest request;
    request.set_at_once(at_once);
    const Status told = Ask(*client_->guest, &pb::GuestService::Stub::RestartAgent, request,
                            "restart the guest's agent")
                            .status();
    // One that ends at once cannot say so.
    return at_once && HasReason(told, "GUEST_UNREACHABLE") ? absl::OkStatus() : told;
  }

  Driver& DriverOf(IsolationClass isolation) override {
    for (const auto& driver : drivers_) {
      if (driver->isolation() == isolation) return *driver;
    }
    return *drivers_.front();
  }

  StatusOr<CompatVerdict> TestImage(const CompatTestSpec& spec, const GuestFacts& facts,
                                    const std::filesystem::path& rootfs,
                                    const std::function<void(std::string)>& progress) override {
    if (progress) progress("sending the image into the VM, unless it is there");
    RETURN_IF_ERROR(SendImage(*client_->guest, facts.image, rootfs, nullptr).status());
    pb::TestImageRequest request = ToProto(spec);
    request.set_image(StrCat("images/", facts.image.digest));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kLongestTest);
    const auto stream = client_->compat->TestImage(&context, request);
    pb::TestImageProgress line;
    while (stream->Read(&line)) {
      if (progress && !line.message().empty()) progress(line.message());
    }
    RETURN_IF_ERROR(FromGuest(stream->Finish(), "test an image in the guest"));
    pb::GetVerdictRecordRequest wanted;
    wanted.set_image_digest(facts.image.digest);
    ASSIGN_OR_RETURN(const pb::VerdictRecord found,
                     Ask(*client_->guest, &pb::GuestService::Stub::GetVerdictRecord, wanted,
                         "read what the guest's test found"));
    return CompatVerdictFromJson(found.verdict_record());
  }

 private:
  static GuestLook Translate(const pb::Guest& guest, const pb::Node& node) {
    std::string problem;
    for (const std::string& condition : node.conditions()) {
      problem += StrCat(problem.empty() ? "" : "; ", condition);
    }
    GuestLook look;
    look.agent_version = guest.agent_version();
    look.boot_id = guest.boot_id();
    look.architecture = node.architecture();
    look.kernel_version = node.kernel_version();
    look.page_size_bytes = node.page_size_bytes();
    look.cpus = node.cpus();
    look.pressure = guest.pressure();
    look.capacity_bytes = node.memory().capacity_bytes();
    look.allocatable_bytes = node.memory().allocatable_bytes();
    look.charged_bytes = node.memory().charged_bytes();
    look.memory_total_bytes = guest.memory_total_bytes();
    look.memory_available_bytes = guest.memory_available_bytes();
    look.active_sandboxes = guest.active_sandboxes();
    for (const pb::DriverStatus& driver : node.drivers()) AddRuntime(driver, look.runtimes);
    look.ready = node.ready();
    look.problem = std::move(problem);
    return look;
  }

  static void AddRuntime(const pb::DriverStatus& driver,
                         std::vector<GuestPlatform::Runtime>& runtimes) {
    for (const IsolationClass isolation : kClasses) {
      if (DriverNameOf(isolation) != driver.name()) continue;
      std::string problem = driver.message().empty() ? "it does not work" : driver.message();
      if (driver.healthy()) problem.clear();
      runtimes.push_back({.driver = driver.name(),
                          .isolation = isolation,
                          .problem = std::move(problem),
                          .version = driver.runtime_version(),
                          .platform = driver.platform(),
                          .overhead_prior_bytes = driver.overhead_prior_bytes()});
    }
  }

  static pb::TestImageRequest ToProto(const CompatTestSpec& spec) {
    pb::TestImageRequest request;
    for (const CompatProbe& probe : spec.probes) {
      pb::Probe& out = *request.add_probes();
      out.set_name(probe.name);
      out.mutable_command()->Assign(probe.command.begin(), probe.command.end());
      out.mutable_env()->Assign(probe.env.begin(), probe.env.end());
      out.set_exit_code(probe.exit_code);
      if (probe.output) out.set_output(*probe.output);
      if (probe.output_contains) out.set_output_contains(*probe.output_contains);
      out.mutable_timeout()->set_seconds(probe.timeout.count() / 1000);
      out.mutable_timeout()->set_nanos(static_cast<int32_t>(probe.timeout.count() % 1000) *
                                       1'000'000);
    }
    request.set_baseline(spec.baseline);
    request.set_workload_bytes(spec.workload_bytes);
    return request;
  }

  const GuestClientPtr client_;
  std::vector<std::unique_ptr<Driver>> drivers_;  // one for each class
  const std::string version_;
};

}  // namespace

DialGuest MakeDialGuest(std::string agent_version) {
  return
      [version = std::move(agent_version)](
          int64_t port, const GuestCredentials& credentials) -> StatusOr<std::shared_ptr<Guest>> {
        grpc::SslCredentialsOptions options;
        options.pem_root_certs = credentials.authority;
        options.pem_cert_chain = credentials.certificate;
        options.pem_private_key = credentials.key;
        grpc::ChannelArguments arguments;
        arguments.SetSslTargetNameOverride(kGuestName);
        arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepAliveMs);
        arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepAliveTimeoutMs);
        // A guest that boots refuses for a while; it is asked again soon.
        arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 250);
        arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
        auto channel = grpc::CreateCustomChannel(StrCat("127.0.0.1:", port),
                                                 grpc::SslCredentials(options), arguments);
        return std::shared_ptr<Guest>(std::make_shared<GuestLink>(channel, version));
      };
}

}  // namespace claw::drivers
