#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "agent/lifecycle/node.h"

namespace claw::lifecycle {

// Lets go of a request when the verb is over, whatever its outcome.
class RequestGuard {
 public:
  explicit RequestGuard(std::function<void()> finish) : finish_(std::move(finish)) {}
  ~RequestGuard() { finish_(); }
  RequestGuard(const RequestGuard&) = delete;
  RequestGuard& operator=(const RequestGuard&) = delete;

 private:
  std::function<void()> finish_;
};

// Notes a finished request in the transaction of its effect; nothing for calls that are not
// remembered.
inline Status RecordRequest(store::Transaction& txn, const store::RequestRecord& request) {
  return request.request_id.empty() ? absl::OkStatus() : txn.PutRequest(request);
}

// "sandboxes/X" -> X.
inline std::string ResourceId(const std::string& subject) {
  return subject.substr(subject.find('/') + 1);
}

// The error that a request ended with before, as it was.
inline Status EarlierError(const store::RequestRecord& record) {
  return MakeError(static_cast<StatusCode>(record.code), record.message, {.reason = record.reason});
}

// A caller that goes away does not stop a verb half-way: what has begun is finished.
inline auto Uncancellable() {
  return asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
}

// FNV-1a, 64 bits, in hexadecimal: stable over restarts and versions. Not for secrets.
std::string ContentFingerprint(std::string_view content);

}  // namespace claw::lifecycle
