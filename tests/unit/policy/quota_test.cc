#include "agent/policy/quota.h"

#include <catch2/catch.hpp>
#include <limits>

namespace claw::policy {
namespace {

Tenant WithQuota(TenantQuota quota) { return {.name = "acme", .quota = quota}; }

ErrorDetail DetailOf(const Status& status) { return GetErrorDetail(status).value(); }

TEST_CASE("a tenant without a quota is not bounded by one") {
  const int64_t most = std::numeric_limits<int64_t>::max();
  CHECK(CheckQuota(WithQuota({}), {most, most, most}, {1, most, most}).ok());
}

TEST_CASE("a quota is met to the last unit and not passed") {
  const Tenant tenant = WithQuota({.sandboxes = 2, .workload_bytes = 100, .cpu_millis = 1000});
  CHECK(CheckQuota(tenant, {1, 60, 500}, {1, 40, 500}).ok());
  const Status count = CheckQuota(tenant, {2, 0, 0}, {1, 1, 1});
  CHECK(count.code() == StatusCode::kResourceExhausted);
  CHECK(DetailOf(count).reason == "QUOTA_EXCEEDED");
  CHECK(DetailOf(count).constraint == "quota.sandboxes");
  CHECK(DetailOf(CheckQuota(tenant, {1, 60, 0}, {1, 41, 1})).constraint == "quota.workload_bytes");
  const ErrorDetail cpu = DetailOf(CheckQuota(tenant, {1, 0, 600}, {1, 1, 401}));
  CHECK(cpu.constraint == "quota.cpu_millis");
  CHECK(cpu.needed == "401");
  CHECK(cpu.available == "400");
}

TEST_CASE("sums near the end of the range do not wrap") {
  const int64_t most = std::numeric_limits<int64_t>::max();
  const Tenant tenant = WithQuota({.workload_bytes = 100});
  CHECK_FALSE(CheckQuota(tenant, {1, most, 0}, {1, most, 0}).ok());
}

TEST_CASE("with a quota of CPU a sandbox without a ceiling is refused") {
  const Status status = CheckQuota(WithQuota({.cpu_millis = 1000}), {}, {1, 1, 0});
  CHECK(status.code() == StatusCode::kInvalidArgument);
  CHECK(DetailOf(status).reason == "CPU_UNBOUNDED");
}

}  // namespace
}  // namespace claw::policy
