#include "agent/policy/network.h"

#include <catch2/catch.hpp>

namespace claw::policy {
namespace {

NetworkPolicy Allow(const std::vector<std::string>& egress) {
  NetworkPolicy policy;
  for (const std::string& rule : egress) policy.egress.push_back(*ParseNetworkRule(rule));
  return policy;
}

TEST_CASE("who is connected: by wish, or by trust and policy together") {
  const Tenant stranger{.name = "a", .network_policy = "web"};
  const Tenant trusted{.name = "a", .trust = Trust::kTrusted, .network_policy = "web"};
  const Tenant trusted_without{.name = "a", .trust = Trust::kTrusted};
  CHECK(DecideNetwork({}, stranger) == NetworkMode::kNone);
  CHECK(DecideNetwork({}, trusted) == NetworkMode::kBridge);
  CHECK(DecideNetwork({}, trusted_without) == NetworkMode::kNone);
  CHECK(DecideNetwork({.mode = NetworkMode::kNone}, trusted) == NetworkMode::kNone);
  CHECK(DecideNetwork({.mode = NetworkMode::kBridge}, stranger) == NetworkMode::kBridge);
  CHECK(DecideNetwork({.policy = NetworkPolicy{}}, stranger) == NetworkMode::kBridge);
  CHECK(DecideNetwork({.ports = {{.host_port = 80, .sandbox_port = 80}}}, stranger) ==
        NetworkMode::kBridge);
}

TEST_CASE("legacy code is connected only under a list of whom it may call") {
  const auto refused = [](const std::vector<NetworkPolicy>& policies) {
    const Status status =
        CheckNetwork(NetworkMode::kBridge, IsolationClass::kLegacyHardened, policies);
    const std::string reason = GetErrorDetail(status).value_or(ErrorDetail{}).reason;
    CHECK((status.ok() || reason == "ALLOW_LIST_REQUIRED"));
    return !status.ok();
  };
  CHECK(refused({}));
  CHECK(refused({NetworkPolicy{}}));
  CHECK(refused({Allow({"0.0.0.0/0"})}));
  CHECK(refused({Allow({"10.0.0.0/8", "[::/0]:443"})}));
  // Two halves of everybody are everybody.
  CHECK(refused({Allow({"0.0.0.0/1", "128.0.0.0/1"})}));
  CHECK_FALSE(refused({Allow({"10.0.0.0/8"})}));
  CHECK_FALSE(refused({Allow({"api.example.com:443", "tenant:80"})}));
  // What passes is allowed by each of them: one list is enough.
  CHECK_FALSE(refused({Allow({"0.0.0.0/0"}), Allow({"10.0.0.1"})}));
}

TEST_CASE("other classes, and those without a network, need no list") {
  for (const IsolationClass isolation : {IsolationClass::kContainer, IsolationClass::kGvisor}) {
    CHECK(CheckNetwork(NetworkMode::kBridge, isolation, {}).ok());
  }
  CHECK(CheckNetwork(NetworkMode::kNone, IsolationClass::kLegacyHardened, {}).ok());
}

TEST_CASE("a change is told in words") {
  NetworkPolicy before = Allow({"10.0.0.1:80", "10.0.0.2:80"});
  NetworkPolicy after = Allow({"10.0.0.2:80", "10.0.0.3:80"});
  after.connections_max = 5;
  after.dns = true;
  CHECK(DescribeChange(before, before).empty());
  CHECK(
      DescribeChange(before, after) ==
      "to 10.0.0.1/32:80/tcp is allowed no more, to 10.0.0.3/32:80/tcp is allowed, connections no "
      "bound -> 5, DNS is allowed");
}

}  // namespace
}  // namespace claw::policy
