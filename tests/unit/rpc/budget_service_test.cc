#include <algorithm>

#include "tests/unit/rpc/service_fixture.h"

namespace claw::test {
namespace {

class BudgetFixture : public ServiceFixture {
 public:
  explicit BudgetFixture(lifecycle::NodeConfig config = {}) : ServiceFixture(std::move(config)) {}

  pb::Budget Budget(int64_t workload_bytes = 0) {
    pb::GetBudgetRequest request;
    request.set_workload_bytes(workload_bytes);
    pb::Budget budget;
    Call call;
    const grpc::Status status = nodes->GetBudget(&call, request, &budget);
    INFO(status.error_message());
    REQUIRE(status.ok());
    return budget;
  }

  // That of the image "app" under gVisor.
  pb::OverheadClass Class() {
    const pb::Budget budget = Budget();
    for (const pb::OverheadClass& one : budget.classes()) {
      if (one.driver() == "gvisor") return one;
    }
    FAIL("gVisor has no class");
    return {};
  }

  static std::string IdOf(const pb::Sandbox& sandbox) { return sandbox.name().substr(10); }

  // The fake machine says that half of the usage is overhead. One look opens a window, another
  // after its length closes it.
  void MeasureWindow(const pb::Sandbox& sandbox, int64_t overhead_bytes) {
    REQUIRE(world().SetMemoryUsage(IdOf(sandbox), 2 * overhead_bytes).ok());
    Run(node().Measure());
    clock().Advance(config().measure_window);
    Run(node().Measure());
  }
};

TEST_CASE("what is measured of a class is what the next of it is charged, and outlives the agent") {
  BudgetFixture node;
  node.Prepare();
  const pb::Sandbox first = node.Create(BudgetFixture::Request("first"));
  CHECK(first.resources().memory().overhead_bytes() == 64 * kMiB);
  CHECK(node.Class().levels_size() == 0);
  for (int i = 0; i < 40; ++i) node.MeasureWindow(first, 20 * kMiB);
  const pb::OverheadClass learned = node.Class();
  CHECK(learned.overhead_bytes() > 20 * kMiB);
  CHECK(learned.overhead_bytes() < 32 * kMiB);
  CHECK(learned.prior_bytes() == 64 * kMiB);
  REQUIRE(learned.levels_size() == 3);
  CHECK(learned.levels(0).level() == "runtime");
  CHECK(learned.levels(1).level() == "family");
  CHECK(learned.levels(2).level() == "image");
  CHECK(learned.levels(2).windows() == 40);
  CHECK(learned.levels(2).estimate_bytes() == learned.overhead_bytes());
  CHECK(learned.samples_size() == 32);
  CHECK(learned.samples(0).bytes() == 20 * kMiB);

  const pb::Sandbox second = node.Create(BudgetFixture::Request("second"));
  // It rises by some bytes as trust fades.
  CHECK(second.resources().memory().overhead_bytes() < learned.overhead_bytes() + kKiB);
  CHECK(second.resources().memory().cgroup_max_bytes() ==
        128 * kMiB + second.resources().memory().overhead_bytes());
  // What runs keeps what it was promised.
  pb::Budget budget = node.Budget();
  CHECK(budget.charged_overhead_bytes() ==
        64 * kMiB + second.resources().memory().overhead_bytes());
  CHECK(budget.charged_workload_bytes() == 256 * kMiB);

  node.Restart();
  CHECK(node.Class().overhead_bytes() < learned.overhead_bytes() + kKiB);
  CHECK(node.Class().levels_size() == 3);
  CHECK(node.Class().levels(2).windows() == 40);
  budget = node.Budget();
  CHECK(budget.charged_workload_bytes() == 256 * kMiB);
}

TEST_CASE("a peak raises the charge at once, and the end of a sandbox closes its window") {
  BudgetFixture node;
  node.Prepare();
  const pb::Sandbox first = node.Create(BudgetFixture::Request("first"));
  REQUIRE(node.world().SetMemoryUsage(BudgetFixture::IdOf(first), 2 * 200 * kMiB).ok());
  node.Run(node.node().Measure());
  CHECK(node.Class().levels_size() == 0);  // the window is open
  REQUIRE(node.world().Exit(BudgetFixture::IdOf(first), 0).ok());
  pb::WaitSandboxRequest wait;
  wait.set_name(first.name());
  pb::Sandbox ended;
  Call call;
  REQUIRE(node.sandboxes->WaitSandbox(&call, wait, &ended).ok());
  CHECK(node.Class().overhead_bytes() >= 200 * kMiB);
  CHECK(node.Create(BudgetFixture::Request("second")).resources().memory().overhead_bytes() >=
        200 * kMiB);
}

TEST_CASE("how many more fit is how many are admitted") {
  lifecycle::NodeConfig config;
  config.reserves.system_bytes = 7 * kGiB;
  BudgetFixture node(config);
  node.Prepare();
  const int64_t fit = node.Class().more_fit();
  CHECK(fit == kGiB / (192 * kMiB));
  const pb::Budget small = node.Budget(16 * kMiB);
  CHECK(small.workload_bytes() == 16 * kMiB);
  for (const pb::OverheadClass& one : small.classes()) {
    CHECK(one.more_fit() == kGiB / (80 * kMiB));
  }
  for (int64_t i = 0; i < fit; ++i) node.Create(BudgetFixture::Request());
  CHECK(node.Class().more_fit() == 0);
  CHECK(BudgetFixture::ReasonOf(node.TryCreate(BudgetFixture::Request())) == "MEMORY_EXHAUSTED");
}

TEST_CASE("a workload that no sandbox may have is refused") {
  BudgetFixture node;
  for (const int64_t bytes : {int64_t{-1}, kMinWorkloadBytes - 1, kMaxWorkloadBytes + 1}) {
    pb::GetBudgetRequest request;
    request.set_workload_bytes(bytes);
    pb::Budget budget;
    Call call;
    const grpc::Status status = node.nodes->GetBudget(&call, request, &budget);
    CHECK(status.error_code() == grpc::StatusCode::INVALID_ARGUMENT);
    CHECK(BudgetFixture::DetailOf(status).constraint() == "workload_bytes");
  }
}

TEST_CASE("as long as the limit around all sandboxes is not in force, none is added") {
  BudgetFixture node;
  node.Prepare();
  node.limit_memory = [](int64_t) { return Unavailable("the kernel says no"); };
  node.Restart();
  pb::ErrorDetail detail;
  pb::Sandbox sandbox;
  {
    Call call;
    const grpc::Status status =
        node.sandboxes->CreateSandbox(&call, BudgetFixture::Request(), &sandbox);
    CHECK(status.error_code() == grpc::StatusCode::FAILED_PRECONDITION);
    detail = BudgetFixture::DetailOf(status);
  }
  CHECK(detail.reason() == "MEMORY_LIMIT_UNPROVEN");
  CHECK(detail.has_retry_after());
  CHECK_FALSE(node.GetNode().ready());
  int64_t asked = 0;
  node.limit_memory = [&asked](int64_t bytes) {
    asked = bytes;
    return absl::OkStatus();
  };
  node.Create(BudgetFixture::Request());
  CHECK(asked == node.GetNode().memory().allocatable_bytes());
  CHECK(node.GetNode().ready());
}

}  // namespace
}  // namespace claw::test
