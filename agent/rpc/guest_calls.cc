#include "agent/rpc/guest_calls.h"

#include <algorithm>

#include "agent/model/json.h"
#include "agent/rpc/convert.h"
#include "agent/rpc/names.h"

namespace claw::rpc {
namespace {

constexpr size_t kMaxHostRecordBytes = 512 << 10;

Status BadRecord(std::string_view field, const Status& why) {
  return BadField(field, StrCat("is none: ", ToStd(why.message())));
}

Status CheckId(const std::string& id) {
  const bool well_formed =
      id.size() == kSandboxIdLength && std::all_of(id.begin(), id.end(), [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
      });
  if (well_formed) return absl::OkStatus();
  return BadField("id", StrCat("has to be ", kSandboxIdLength, " hexadecimal digits"));
}

StatusOr<lifecycle::GuestOrder> OrderOf(const pb::PrepareSandboxRequest& request) {
  lifecycle::GuestOrder order;
  RETURN_IF_ERROR(CheckId(request.id()));
  order.wanted.id = request.id();
  order.wanted.image_digest = request.image_digest();
  if (request.image_digest().empty()) return BadField("image_digest", "is missing");
  if (request.host_record().size() > kMaxHostRecordBytes) {
    return BadField("host_record", StrCat("is longer than ", kMaxHostRecordBytes, " bytes"));
  }
  order.wanted.host_record = request.host_record();
  StatusOr<Tenant> tenant = TenantFromJson(request.tenant_record());
  if (!tenant.ok()) return BadRecord("tenant_record", tenant.status());
  order.tenant = *std::move(tenant);
  const StatusOr<Sandbox> sandbox = SandboxFromJson(request.sandbox_record());
  if (!sandbox.ok()) return BadRecord("sandbox_record", sandbox.status());
  order.wanted.spec = sandbox->spec;
  if (order.wanted.spec.tenant != order.tenant.name) {
    return BadField("sandbox_record", "is of another tenant");
  }
  for (const std::string& text : request.verdict_records()) {
    StatusOr<CompatVerdict> verdict = CompatVerdictFromJson(text);
    if (!verdict.ok()) return BadRecord("verdict_records", verdict.status());
    if (verdict->image_digest != request.image_digest()) {
      return BadField("verdict_records", "are of another image");
    }
    order.verdicts.push_back(*std::move(verdict));
  }
  if (request.override_record().empty()) return order;
  StatusOr<CompatOverride> given = CompatOverrideFromJson(request.override_record());
  if (!given.ok()) return BadRecord("override_record", given.status());
  if (given->image_digest != request.image_digest()) {
    return BadField("override_record", "is of another image");
  }
  order.compat_override = *std::move(given);
  return order;
}

pb::GuestSandbox Show(Sandbox sandbox) {
  pb::GuestSandbox shown;
  shown.set_host_record(std::move(sandbox.host_record));
  sandbox.host_record.clear();
  shown.set_sandbox_record(ToJson(sandbox));
  return shown;
}

}  // namespace

Task<StatusOr<pb::GuestSandbox>> PrepareSandbox(const Context& context,
                                                const pb::PrepareSandboxRequest& request,
                                                const std::string& actor) {
  CO_ASSIGN_OR_RETURN(lifecycle::GuestOrder order, OrderOf(request));
  lifecycle::Call call;
  call.actor = actor;
  CO_ASSIGN_OR_RETURN(const Sandbox sandbox,
                      co_await context.node.Prepare(std::move(call), std::move(order)));
  co_return Show(sandbox);
}

Task<StatusOr<pb::GuestSandbox>> GetGuestSandbox(const Context& context,
                                                 const pb::GetGuestSandboxRequest& request) {
  CO_RETURN_IF_ERROR(CheckId(request.id()));
  CO_ASSIGN_OR_RETURN(const Sandbox sandbox, context.node.GetSandbox(request.id()));
  co_return Show(sandbox);
}

Task<StatusOr<pb::VerdictRecord>> GetVerdictRecord(const Context& context,
                                                   const pb::GetVerdictRecordRequest& request) {
  CO_ASSIGN_OR_RETURN(const CompatVerdict verdict, context.node.GetVerdict(request.image_digest()));
  pb::VerdictRecord record;
  record.set_verdict_record(ToJson(verdict));
  co_return record;
}

}  // namespace claw::rpc
