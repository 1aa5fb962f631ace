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

// The error that a request ended with before, as it was.
inline Status EarlierError(const store::RequestRecord& record) {
  return MakeError(static_cast<StatusCode>(record.code), record.message, {.reason = record.reason});
}

// A caller that goes away does not stop a verb half-way: what has begun is finished.
inline auto Uncancellable() {
  return asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
}

// Writes the record of a request that is to be remembered; one without an id is not.
Status RecordRequest(store::Transaction& txn, const store::RequestRecord& request);

// "sandboxes/4f…" -> "4f…"
std::string ResourceId(std::string_view subject);

// FNV-1a, 64 bits, in hexadecimal: stable over restarts and versions. Not for secrets.
std::string ContentFingerprint(std::string_view content);

}  // namespace claw::lifecycle
