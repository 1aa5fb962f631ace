#include "tools/clawctl/rpc.h"

#include <absl/strings/cord.h>
#include <absl/strings/str_format.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>

#include "agent/base/descriptors.h"
#include "agent/base/strings.h"
#include "claw/node/v1/common.pb.h"
#include "claw/node/v1/placement.pb.h"
#include "tools/clawctl/reasons.h"

namespace claw::ctl {
namespace {

using std::chrono::milliseconds;

constexpr int kMaxAttempts = 6;
constexpr milliseconds kFirstPause{100};
constexpr milliseconds kLongestPause{5000};

Outcome OutcomeOf(pb::ErrorDetail::Outcome outcome) {
  if (outcome == pb::ErrorDetail::REFUSED) return Outcome::kRefused;
  return outcome == pb::ErrorDetail::UNDONE ? Outcome::kUndone : Outcome::kUnknown;
}

// The typed detail in the trailer "grpc-status-details-bin"; empty if there is none.
ErrorDetail DetailOf(const grpc::Status& status) {
  ErrorDetail detail;
  pb::RpcStatus rpc;
  if (!rpc.ParseFromString(status.error_details())) return detail;
  for (const auto& any : rpc.details()) {
    pb::ErrorDetail typed;
    if (!any.Is<pb::ErrorDetail>() || !any.UnpackTo(&typed)) continue;
    detail = {.reason = typed.reason(),
              .constraint = typed.constraint(),
              .needed = typed.needed(),
              .available = typed.available(),
              .retry_after = std::nullopt,
              .outcome = OutcomeOf(typed.outcome())};
    if (typed.has_retry_after()) {
      detail.retry_after = milliseconds(typed.retry_after().seconds() * 1000 +
                                        typed.retry_after().nanos() / 1'000'000);
    }
    break;
  }
  return detail;
}

// All that stands in the way of a placement goes with the error, which itself names only the first.
Status WithExplanation(Status error, const grpc::Status& status) {
  pb::RpcStatus rpc;
  if (!rpc.ParseFromString(status.error_details())) return error;
  for (const auto& any : rpc.details()) {
    if (any.Is<pb::Explanation>()) error.SetPayload(kExplanationPayload, absl::Cord(any.value()));
  }
  return error;
}

milliseconds PauseBefore(int attempt, const Status& error) {
  const auto detail = GetErrorDetail(error);
  milliseconds pause = kFirstPause * (1 << std::min(attempt, 5));
  if (detail && detail->retry_after) pause = *detail->retry_after;
  return std::clamp(pause, milliseconds(1), kLongestPause);
}

bool IsUnreachable(const Status& error) {
  const auto detail = GetErrorDetail(error);
  return detail && detail->reason == kReasonUnreachable;
}

}  // namespace

Calls::Entry::Entry(Calls& calls, grpc::ClientContext& context) : calls_(calls), context_(context) {
  const std::scoped_lock lock(calls_.mutex_);
  calls_.running_.insert(&context_);
}

Calls::Entry::~Entry() {
  const std::scoped_lock lock(calls_.mutex_);
  calls_.running_.erase(&context_);
}

void Calls::CancelAll() {
  const std::scoped_lock lock(mutex_);
  for (grpc::ClientContext* context : running_) context->TryCancel();
}

std::string WhyUnreachable(const std::string& socket) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket.size() >= sizeof(address.sun_path)) return "the path is too long for a socket";
  std::copy(socket.begin(), socket.end(), address.sun_path);
  const StatusOr<UniqueFd> fd = MakeUnixSocket(SOCK_STREAM);
  if (!fd.ok()) return std::string(ToStd(fd.status().message()));
  if (::connect(fd->get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
    return "";
  }
  return std::strerror(errno);
}

Status FromGrpc(const grpc::Status& status, const std::string& socket) {
  if (status.ok()) return absl::OkStatus();
  ErrorDetail detail = DetailOf(status);
  std::string message = status.error_message();
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE && detail.reason.empty()) {
    detail.reason = kReasonUnreachable;
    const std::string why = WhyUnreachable(socket);
    message = StrCat("cannot reach the agent at ", socket, ": ", why.empty() ? message : why);
  }
  // gRPC took its codes and absl's from the same list.
  return WithExplanation(MakeError(static_cast<StatusCode>(status.error_code()), message, detail),
                         status);
}

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& socket) {
  grpc::ChannelArguments arguments;
  // Nothing that a socket on this machine has use for: no proxy, no service config out of DNS.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  // An agent that restarts is back within a moment.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // A page of sandboxes with long environments goes over gRPC's 4 MiB.
  arguments.SetMaxReceiveMessageSize(-1);
  return grpc::CreateCustomChannel("unix:" + socket, grpc::InsecureChannelCredentials(), arguments);
}

void SetDeadline(grpc::ClientContext& context, const std::optional<SteadyTime>& deadline) {
  if (!deadline) return;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::duration_cast<std::chrono::system_clock::duration>(
                           *deadline - std::chrono::steady_clock::now()));
}

Status WithRetries(const ClientOptions& options, Calls& calls, std::string_view method,
                   const std::optional<SteadyTime>& deadline,
                   const std::function<grpc::Status(grpc::ClientContext&)>& attempt) {
  bool was_reached = false;
  for (int tries = 1;; ++tries) {
    grpc::ClientContext context;
    SetDeadline(context, deadline);
    const Calls::Entry entry(calls, context);
    const auto start = std::chrono::steady_clock::now();
    const Status status = FromGrpc(attempt(context), options.socket);
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    options.trace(absl::StrFormat("%s: %s after %.1f ms", method,
                                  absl::StatusCodeToString(status.code()), took.count()));
    if (status.code() != StatusCode::kUnavailable || tries == kMaxAttempts) return status;
    // A socket where nobody has ever listened is not worth the wait. After a connection that broke
    // the request may have been taken, so it is sent again.
    if (IsUnreachable(status) && !was_reached && !WhyUnreachable(options.socket).empty()) {
      return status;
    }
    was_reached = true;
    const milliseconds pause = PauseBefore(tries - 1, status);
    if (deadline && std::chrono::steady_clock::now() + pause >= *deadline) return status;
    options.notice(absl::StrFormat("%s; trying again in %d ms (%d of %d)", status.message(),
                                   pause.count(), tries, kMaxAttempts - 1));
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace claw::ctl
