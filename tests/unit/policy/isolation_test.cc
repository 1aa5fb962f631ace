#include "agent/policy/isolation.h"

#include <catch2/catch.hpp>

namespace claw::policy {
namespace {

TEST_CASE("trusted code runs in a container, untrusted code under gVisor (I1)") {
  const IsolationDecision trusted = DecideIsolation(Trust::kTrusted);
  CHECK(trusted.isolation == IsolationClass::kContainer);
  CHECK(trusted.reason == "the tenant is trusted");
  const IsolationDecision untrusted = DecideIsolation(Trust::kUntrusted);
  CHECK(untrusted.isolation == IsolationClass::kGvisor);
  CHECK(untrusted.reason == "the tenant is not trusted");
}

TEST_CASE("a trust that no enum value stands for is not trusted (I1)") {
  for (int value = -3; value < 300; ++value) {
    if (value == static_cast<int>(Trust::kTrusted)) continue;
    CHECK(DecideIsolation(static_cast<Trust>(value)).isolation == IsolationClass::kGvisor);
  }
}

TEST_CASE("nothing decided yet means the stronger class") {
  CHECK(IsolationDecision{}.isolation == IsolationClass::kGvisor);
  CHECK(Sandbox{}.isolation == IsolationClass::kGvisor);
  CHECK(Tenant{}.trust == Trust::kUntrusted);
}

}  // namespace
}  // namespace claw::policy
