#include <algorithm>

#include "agent/base/strings.h"
#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/node.h"

namespace claw::lifecycle {

Task<StatusOr<std::optional<store::RequestRecord>>> Node::BeginRequest(Call call,
                                                                       std::string method,
                                                                       std::string fingerprint) {
  const Status unavailable = draining_ ? Unavailable("the agent is shutting down") : Status();
  CO_RETURN_IF_ERROR(WithOutcome(unavailable, Outcome::kRefused));
  CO_RETURN_IF_ERROR(co_await PassFence(call));
  const std::string request_id = call.request_id;
  if (request_id.empty()) {
    ++under_way_;
    co_return std::nullopt;
  }
  // The same request again while it is under way waits for its outcome.
  for (auto it = requests_under_way_.find(request_id); it != requests_under_way_.end();
       it = requests_under_way_.find(request_id)) {
    const std::shared_ptr<Notifier> finished = it->second;
    co_await finished->Wait();
  }
  const auto it = requests_.find(request_id);
  if (it == requests_.end()) {
    ++under_way_;
    requests_under_way_[request_id] = std::make_shared<Notifier>(deps_.strand);
    co_return std::nullopt;
  }
  const store::RequestRecord& earlier = it->second;
  if (earlier.method != method || earlier.fingerprint != fingerprint) {
    co_return MakeError(
        StatusCode::kInvalidArgument,
        StrCat("request_id '", request_id, "' was used before, for another ",
               earlier.method == method ? "content" : "call"),
        {.reason = "REQUEST_ID_REUSED", .constraint = "request_id", .outcome = Outcome::kRefused});
  }
  co_return earlier;
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
