#include "drivers/guest/guest_link.h"

#include <grpcpp/channel.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include "agent/base/strings.h"
#include "claw/node/v1/guest.grpc.pb.h"
#include "claw/node/v1/node.grpc.pb.h"

namespace claw::drivers {
namespace {

namespace pb = claw::node::v1;

// The name in a guest's certificate.
constexpr const char* kGuestName = "guest";
constexpr std::chrono::milliseconds kShortCall = std::chrono::seconds(10);
constexpr std::chrono::milliseconds kRetryAfter = std::chrono::seconds(2);
// A guest that stands still does not answer, and says nothing of it.
constexpr int kKeepAliveMs = 10'000;
constexpr int kKeepAliveTimeoutMs = 5'000;

Status ToStatus(const grpc::Status& status, std::string_view doing) {
  if (status.ok()) return absl::OkStatus();
  const auto code = static_cast<StatusCode>(status.error_code());
  if (code == StatusCode::kUnavailable || code == StatusCode::kDeadlineExceeded) {
    return MakeError(
        StatusCode::kUnavailable,
        StrCat(doing, ": the guest's agent does not answer (", status.error_message(), ")"),
        {.reason = "GUEST_UNREACHABLE", .retry_after = kRetryAfter});
  }
  return MakeError(code, StrCat(doing, ": ", status.error_message()), {.reason = "GUEST_REFUSED"});
}

class GuestLink final : public Guest {
 public:
  GuestLink(std::shared_ptr<grpc::Channel> channel, std::string version)
      : node_(pb::NodeService::NewStub(channel)),
        guest_(pb::GuestService::NewStub(channel)),
        version_(std::move(version)) {}

  StatusOr<GuestLook> Look(std::chrono::milliseconds at_most) override {
    const auto end = std::chrono::system_clock::now() + at_most;
    pb::Guest guest;
    grpc::ClientContext first;
    first.set_deadline(end);
    RETURN_IF_ERROR(ToStatus(guest_->GetGuest(&first, {}, &guest), "look at the guest"));
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
    RETURN_IF_ERROR(ToStatus(node_->GetNode(&second, {}, &node), "look at the guest's node"));
    return Translate(guest, node);
  }

  StatusOr<std::chrono::milliseconds> SetClock(Time now) override {
    pb::SetClockRequest request;
    request.mutable_time()->set_seconds(ToMicros(now) / 1'000'000);
    request.mutable_time()->set_nanos(static_cast<int32_t>(ToMicros(now) % 1'000'000) * 1000);
    pb::SetClockResponse response;
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kShortCall);
    RETURN_IF_ERROR(
        ToStatus(guest_->SetClock(&context, request, &response), "set the guest's clock"));
    return std::chrono::milliseconds(response.correction().seconds() * 1000 +
                                     response.correction().nanos() / 1'000'000);
  }

  Status PowerOff(bool force) override {
    pb::PowerOffRequest request;
    request.set_force(force);
    google::protobuf::Empty response;
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kShortCall);
    return ToStatus(guest_->PowerOff(&context, request, &response), "switch the guest off");
  }

  Driver& DriverOf(IsolationClass /*isolation*/) override { std::abort(); }
  StatusOr<CompatVerdict> TestImage(
      const CompatTestSpec& /*spec*/, const GuestFacts& /*facts*/,
      const std::filesystem::path& /*rootfs*/,
      const std::function<void(std::string)>& /*progress*/) override {
    std::abort();
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
    look.ready = node.ready();
    look.problem = std::move(problem);
    return look;
  }

  const std::unique_ptr<pb::NodeService::Stub> node_;
  const std::unique_ptr<pb::GuestService::Stub> guest_;
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
        return std::shared_ptr<Guest>(std::make_shared<GuestLink>(std::move(channel), version));
      };
}

}  // namespace claw::drivers
