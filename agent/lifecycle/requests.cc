#include <algorithm>

#include "agent/base/strings.h"
#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/node.h"

namespace claw::lifecycle {
namespace {

Status CheckSameRequest(const store::RequestRecord& earlier, const std::string& method,
                        const std::string& fingerprint) {
  if (earlier.method == method && earlier.fingerprint == fingerprint) return absl::OkStatus();
  return MakeError(
      StatusCode::kInvalidArgument,
      StrCat("request_id '", earlier.request_id, "' was used before, for another ",
             earlier.method == method ? "content" : "call"),
      {.reason = "REQUEST_ID_REUSED", .constraint = "request_id", .outcome = Outcome::kRefused});
}

}  // namespace

// Whoever asks again for what was done gets its answer, whatever has become of the agent or of the
// caller since. Only what is new is fenced, and refused by an agent that ends.
Task<StatusOr<std::optional<store::RequestRecord>>> Node::BeginRequest(Call call,
                                                                       std::string method,
                                                                       std::string fingerprint) {
  const std::string request_id = call.request_id;
  for (;;) {
    // The same request again while it is under way waits for its outcome.
    for (auto it = requests_under_way_.find(request_id); it != requests_under_way_.end();
         it = requests_under_way_.find(request_id)) {
      const std::shared_ptr<Notifier> finished = it->second;
      co_await finished->Wait();
    }
    if (const auto it = requests_.find(request_id); it != requests_.end()) {
      CO_RETURN_IF_ERROR(CheckSameRequest(it->second, method, fingerprint));
      co_return it->second;
    }
    if (draining_) {
      const Status ends = Unavailable("the agent is shutting down");
      co_return WithOutcome(ends, Outcome::kRefused);
    }
    CO_RETURN_IF_ERROR(CheckFence(call.fence));
    if (call.fence.generation <= durable_generation_) break;
    CO_RETURN_IF_ERROR(co_await RaiseGeneration(call));
  }
  ++under_way_;
  if (!request_id.empty()) {
    requests_under_way_[request_id] = std::make_shared<Notifier>(deps_.strand);
  }
  co_return std::nullopt;
}

void Node::FinishRequest(const std::string& request_id) {
  --under_way_;
  drained_.NotifyAll();
  const auto it = requests_under_way_.find(request_id);
  if (it == requests_under_way_.end()) return;
  const std::shared_ptr<Notifier> finished = it->second;
  requests_under_way_.erase(it);
  finished->NotifyAll();
}

store::RequestRecord Node::MakeRequest(const std::string& request_id, std::string method,
                                       std::string fingerprint, std::string subject) const {
  store::RequestRecord record;
  record.request_id = request_id;
  record.method = std::move(method);
  record.fingerprint = std::move(fingerprint);
  record.subject = std::move(subject);
  record.created_at = deps_.clock.Now();
  return record;
}

std::vector<std::string> Node::OldestRequests() const {
  std::vector<std::pair<Time, std::string>> finished;
  for (const auto& [id, request] : requests_) {
    if (requests_under_way_.count(id) == 0) finished.emplace_back(request.created_at, id);
  }
  const auto keep = static_cast<size_t>(config_.max_request_records);
  std::vector<std::string> oldest;
  if (finished.size() <= keep) return oldest;
  std::sort(finished.begin(), finished.end());
  for (size_t i = 0; i + keep < finished.size(); ++i) oldest.push_back(finished[i].second);
  return oldest;
}

void Node::RememberRequest(const store::RequestRecord& record) {
  if (!record.request_id.empty()) requests_[record.request_id] = record;
}

}  // namespace claw::lifecycle
