#pragma once

// What the fake agent's services share.

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/unit/clawctl/fake_agent.h"

namespace claw::ctl::testing {

inline grpc::Status ToGrpc(const Refusal& refusal) {
  const auto code = static_cast<grpc::StatusCode>(refusal.code);
  if (!refusal.detail) return {code, refusal.message};
  pb::RpcStatus rpc;
  rpc.set_code(refusal.code);
  rpc.set_message(refusal.message);
  rpc.add_details()->PackFrom(*refusal.detail);
  if (refusal.explanation) rpc.add_details()->PackFrom(*refusal.explanation);
  return {code, refusal.message, rpc.SerializeAsString()};
}

inline grpc::Status NotThere(const std::string& what) {
  return {grpc::StatusCode::NOT_FOUND, "there is no " + what};
}

// The bookkeeping of every call that changes something.
inline std::optional<grpc::Status> Refuse(FakeState& state, const std::string& request_id) {
  state.request_ids.push_back(request_id);
  if (state.refusals.empty() || state.refusals.front().code == 0) {
    if (!state.refusals.empty()) state.refusals.erase(state.refusals.begin());
    return std::nullopt;
  }
  const Refusal refusal = state.refusals.front();
  state.refusals.erase(state.refusals.begin());
  return ToGrpc(refusal);
}

// Copies one page; answers the token of the next.
template <typename Item, typename Add>
std::string Page(const std::vector<Item>& items, const std::string& token, int size,
                 const Add& add) {
  const size_t start = token.empty() ? 0 : std::stoul(token);
  const size_t end = std::min(items.size(), start + static_cast<size_t>(size));
  for (size_t i = start; i < end; ++i) add(items[i]);
  return end < items.size() ? std::to_string(end) : "";
}

std::unique_ptr<grpc::Service> MakeCompatFake(FakeState& state);
std::unique_ptr<grpc::Service> MakeNetworkFake(FakeState& state);
std::unique_ptr<grpc::Service> MakeNodeFake(FakeState& state);
std::unique_ptr<grpc::Service> MakePlacementFake(FakeState& state);
std::unique_ptr<grpc::Service> MakeVmFake(FakeState& state);

}  // namespace claw::ctl::testing
