#include "agent/rpc/status.h"

#include "agent/base/utf8.h"
#include "claw/node/v1/common.pb.h"

namespace claw::rpc {
namespace {

namespace pb = node::v1;

// gRPC writes bytes beyond ASCII as %XX, and the details as base64 with the message in them once
// more: 1 KiB of text may take 4.5 KiB of the trailers.
constexpr size_t kMaxMessageBytes = 1024;
constexpr size_t kMaxFieldBytes = 200;
constexpr const char* kTypeUrl = "type.googleapis.com/";

// Well-formed UTF-8 of at most `max_bytes`: protobuf and gRPC refuse anything else.
std::string Printable(std::string_view text, size_t max_bytes) {
  std::string result(text);
  if (!IsUtf8(text)) {
    for (char& c : result) {
      if (static_cast<unsigned char>(c) >= 0x80) c = '?';
    }
  }
  if (result.size() <= max_bytes) return result;
  size_t end = max_bytes - 3;
  while (end > 0 && (static_cast<unsigned char>(result[end]) & 0xC0) == 0x80) --end;
  return result.substr(0, end) + "...";
}

pb::ErrorDetail ToProto(const ErrorDetail& detail) {
  pb::ErrorDetail proto;
  proto.set_reason(Printable(detail.reason, kMaxFieldBytes));
  proto.set_constraint(Printable(detail.constraint, kMaxFieldBytes));
  proto.set_needed(Printable(detail.needed, kMaxFieldBytes));
  proto.set_available(Printable(detail.available, kMaxFieldBytes));
  if (detail.retry_after) SetDuration(*detail.retry_after, proto.mutable_retry_after());
  if (detail.outcome == Outcome::kRefused) proto.set_outcome(pb::ErrorDetail::REFUSED);
  if (detail.outcome == Outcome::kUndone) proto.set_outcome(pb::ErrorDetail::UNDONE);
  return proto;
}

// absl took its codes from gRPC, number by number.
static_assert(static_cast<int>(StatusCode::kUnauthenticated) == grpc::StatusCode::UNAUTHENTICATED);
static_assert(static_cast<int>(StatusCode::kOutOfRange) == grpc::StatusCode::OUT_OF_RANGE);

}  // namespace

void SetDuration(std::chrono::milliseconds value, google::protobuf::Duration* out) {
  out->set_seconds(value.count() / 1000);
  out->set_nanos(static_cast<int32_t>(value.count() % 1000) * 1'000'000);
}

std::string Shorten(std::string_view text) { return Printable(text, kMaxFieldBytes); }

pb::RpcStatus ToRpcStatus(const Status& status) {
  pb::RpcStatus details;
  details.set_code(static_cast<int>(status.code()));
  details.set_message(Printable(ToStd(status.message()), kMaxMessageBytes));
  const std::optional<ErrorDetail> detail = GetErrorDetail(status);
  if (detail) details.add_details()->PackFrom(ToProto(*detail));
  status.ForEachPayload([&details](absl::string_view url, const absl::Cord& payload) {
    if (!ToStd(url).starts_with(kTypeUrl)) return;
    google::protobuf::Any* any = details.add_details();
    any->set_type_url(std::string(url));
    any->set_value(std::string(payload));
  });
  return details;
}

Status WithMessage(const Status& status, const google::protobuf::Message& message) {
  Status with = status;
  with.SetPayload(StrCat(kTypeUrl, message.GetTypeName()), absl::Cord(message.SerializeAsString()));
  return with;
}

grpc::Status ToGrpc(const Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const auto code = static_cast<grpc::StatusCode>(status.code());
  const pb::RpcStatus details = ToRpcStatus(status);
  if (details.details().empty()) return {code, details.message()};
  return {code, details.message(), details.SerializeAsString()};
}

grpc::Status Report(const Context& context, const Status& status) {
  const bool own_fault = status.code() == StatusCode::kInternal ||
                         status.code() == StatusCode::kUnknown ||
                         status.code() == StatusCode::kDataLoss;
  if (own_fault && context.log_fault) context.log_fault(ToLogString(status));
  return ToGrpc(status);
}

}  // namespace claw::rpc
