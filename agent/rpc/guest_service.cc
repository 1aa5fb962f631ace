#include "agent/host/pressure.h"
#include "agent/rpc/convert.h"
#include "agent/rpc/guest_calls.h"
#include "agent/rpc/guest_image.h"
#include "agent/rpc/names.h"
#include "agent/rpc/reactors.h"
#include "agent/rpc/services.h"
#include "claw/node/v1/guest.grpc.pb.h"

namespace claw::rpc {
namespace {

using google::protobuf::Empty;

// Below, the way of the message is longer than what it would mend.
constexpr std::chrono::milliseconds kClockSlack = std::chrono::milliseconds(500);
// The years in which a host's clock can be meant.
constexpr int64_t kFirstSecond = 1'704'067'200;   // 2024
constexpr int64_t kLastSecond = 253'402'300'799;  // 9999

Task<StatusOr<pb::Guest>> GetGuest(const Context& context, const pb::GetGuestRequest& /*request*/) {
  // The balloon may have been moved: what the ledger has is to agree with what is told here.
  co_await context.node.LookAtPressure();
  pb::Guest guest;
  guest.set_agent_version(context.agent_version);
  guest.set_boot_id(context.node.host().boot_id);
  SetTime(context.clock.Now(), guest.mutable_time());
  const lifecycle::ConcurrencyView concurrency = context.node.concurrency();
  guest.set_pressure(std::string(ToString(concurrency.band)));
  guest.set_memory_some(concurrency.stall);
  const auto read = [] { return host::ReadMemoryPressure(); };
  StatusOr<MemoryPressure> pressure = co_await context.pool.Run(std::move(read));
  if (!pressure.ok()) co_return pressure.status();
  guest.set_memory_total_bytes(pressure->total_bytes);
  guest.set_memory_available_bytes(pressure->available_bytes);
  guest.set_active_sandboxes(context.node.counts().active_sandboxes);
  co_return guest;
}

Task<StatusOr<pb::SetClockResponse>> SetClock(const Context& context,
                                              const pb::SetClockRequest& request,
                                              const std::string& /*actor*/) {
  const int64_t seconds = request.time().seconds();
  const int32_t nanos = request.time().nanos();
  if (seconds < kFirstSecond || seconds > kLastSecond || nanos < 0 || nanos > 999'999'999) {
    co_return BadField("time", "is not a time between 2024 and 9999");
  }
  const Time wanted(std::chrono::seconds(seconds) + std::chrono::microseconds(nanos / 1000));
  const auto off =
      std::chrono::duration_cast<std::chrono::milliseconds>(wanted - context.clock.Now());
  pb::SetClockResponse response;
  SetDuration(std::chrono::milliseconds(0), response.mutable_correction());
  if (off >= -kClockSlack && off <= kClockSlack) co_return response;
  CO_RETURN_IF_ERROR(context.guest.set_clock(wanted));
  SetDuration(off, response.mutable_correction());
  co_return response;
}

Task<StatusOr<Empty>> PowerOff(const Context& context, const pb::PowerOffRequest& request,
                               const std::string& /*actor*/) {
  const int64_t active = context.node.counts().active_sandboxes;
  if (active > 0 && !request.force()) {
    co_return MakeError(StatusCode::kFailedPrecondition,
                        StrCat(active, " sandboxes run in this guest"),
                        {.reason = "GUEST_IN_USE",
                         .constraint = "active_sandboxes",
                         .needed = "0",
                         .available = StrCat(active),
                         .outcome = Outcome::kRefused});
  }
  context.guest.power_off();
  co_return Empty();
}

Task<StatusOr<Empty>> RestartAgent(const Context& context, const pb::RestartAgentRequest& request,
                                   const std::string& /*actor*/) {
  context.guest.restart(request.at_once());
  co_return Empty();
}

class GuestService final : public pb::GuestService::CallbackService {
 public:
  explicit GuestService(const Context& context) : context_(context) {}

  grpc::ServerUnaryReactor* GetGuest(grpc::CallbackServerContext* /*call*/,
                                     const pb::GetGuestRequest* request,
                                     pb::Guest* response) override {
    return Unary(context_, WhenCallerLeaves::kCancel, request, response, rpc::GetGuest);
  }
  grpc::ServerUnaryReactor* SetClock(grpc::CallbackServerContext* call,
                                     const pb::SetClockRequest* request,
                                     pb::SetClockResponse* response) override {
    return Change(context_, *call, request, response, rpc::SetClock);
  }
  grpc::ServerUnaryReactor* PowerOff(grpc::CallbackServerContext* call,
                                     const pb::PowerOffRequest* request, Empty* response) override {
    return Change(context_, *call, request, response, rpc::PowerOff);
  }
  grpc::ServerUnaryReactor* PrepareSandbox(grpc::CallbackServerContext* call,
                                           const pb::PrepareSandboxRequest* request,
                                           pb::GuestSandbox* response) override {
    return Change(context_, *call, request, response, rpc::PrepareSandbox);
  }
  grpc::ServerUnaryReactor* GetGuestSandbox(grpc::CallbackServerContext* /*call*/,
                                            const pb::GetGuestSandboxRequest* request,
                                            pb::GuestSandbox* response) override {
    return Unary(context_, WhenCallerLeaves::kCancel, request, response, rpc::GetGuestSandbox);
  }
  grpc::ServerUnaryReactor* GetVerdictRecord(grpc::CallbackServerContext* /*call*/,
                                             const pb::GetVerdictRecordRequest* request,
                                             pb::VerdictRecord* response) override {
    return Unary(context_, WhenCallerLeaves::kCancel, request, response, rpc::GetVerdictRecord);
  }
  grpc::ServerUnaryReactor* RestartAgent(grpc::CallbackServerContext* call,
                                         const pb::RestartAgentRequest* request,
                                         Empty* response) override {
    return Change(context_, *call, request, response, rpc::RestartAgent);
  }
  grpc::ServerReadReactor<pb::PutImageRequest>* PutImage(grpc::CallbackServerContext* call,
                                                         pb::Image* response) override {
    return Upload(context_, *call, response, rpc::PutImage);
  }

 private:
  const Context& context_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeGuestService(const Context& context) {
  return std::make_unique<GuestService>(context);
}

}  // namespace claw::rpc
