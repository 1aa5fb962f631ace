#include <algorithm>
#include <cmath>

#include "tests/unit/rpc/service_fixture.h"

namespace claw::test {
namespace {

class PressureFixture : public ServiceFixture {
 public:
  explicit PressureFixture(lifecycle::NodeConfig config = Config())
      : ServiceFixture(std::move(config)) {}

  static lifecycle::NodeConfig Config() {
    lifecycle::NodeConfig config;
    config.dial.short_bytes = 100 * kMiB;
    config.eviction_grace = std::chrono::milliseconds(0);
    return config;
  }

  // Two seconds in which some task waits for this share of the time, and a look.
  pb::Concurrency Look(double stall) {
    ChangePressure([&](MemoryPressure& pressure) {
      pressure.at += std::chrono::seconds(2);
      pressure.some_micros += std::llround(stall * 2e6);
    });
    Run(node().LookAtPressure());
    return Concurrency();
  }
  // The same while the sandboxes together run into the limit around them.
  pb::Concurrency LookShort(double stall) {
    ChangePressure([](MemoryPressure& pressure) { ++pressure.group_limit_hits; });
    return Look(stall);
  }
  void LookCalm() {
    for (int i = 0; i < 20; ++i) Look(0);
  }

  pb::Budget Budget() {
    pb::Budget budget;
    Call call;
    REQUIRE(nodes->GetBudget(&call, {}, &budget).ok());
    return budget;
  }
  pb::Concurrency Concurrency() { return Budget().concurrency(); }

  std::vector<std::string> EventTypes(const std::string& subject = "node") {
    std::vector<std::string> types;
    for (const pb::Event& event : EventsOf(subject)) types.push_back(event.type());
    return types;
  }
  int Count(const std::string& type, const std::string& subject = "node") {
    const std::vector<std::string> types = EventTypes(subject);
    return static_cast<int>(std::count(types.begin(), types.end(), type));
  }

  pb::Sandbox CreateBurstable(const std::string& name, int priority = 0) {
    pb::CreateSandboxRequest request = Request(name);
    request.mutable_spec()->set_workload_bytes(256 * kMiB);
    request.mutable_spec()->set_memory_request_bytes(64 * kMiB);
    request.mutable_spec()->set_priority(priority);
    return Create(request);
  }

  pb::Sandbox Await(const pb::Sandbox& sandbox) {
    pb::WaitSandboxRequest wait;
    wait.set_name(sandbox.name());
    pb::Sandbox ended;
    Call call;
    REQUIRE(sandboxes->WaitSandbox(&call, wait, &ended).ok());
    return ended;
  }

  // Half of it is the program's.
  void Use(const pb::Sandbox& sandbox, int64_t program_bytes) {
    REQUIRE(world().SetMemoryUsage(IdOf(sandbox), 2 * program_bytes).ok());
  }
};

TEST_CASE("under pressure starts are refused with a reason, and taken again when it has gone") {
  PressureFixture node;
  node.Prepare();
  node.Create(PressureFixture::Request("before"));
  CHECK(node.Look(0).band() == "calm");
  CHECK(node.Look(0.5).band() == "refuse");
  const grpc::Status refused = node.TryCreate(PressureFixture::Request("during"));
  CHECK(refused.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  const pb::ErrorDetail detail = PressureFixture::DetailOf(refused);
  CHECK(detail.reason() == "MEMORY_PRESSURE");
  CHECK(detail.has_retry_after());
  CHECK(detail.available() == "a stall of 50%");
  CHECK_FALSE(node.GetNode().ready());
  const pb::Budget budget = node.Budget();
  for (const pb::OverheadClass& one : budget.classes()) {
    CHECK(one.more_fit() == 0);
    CHECK(one.binding_constraint() == "node.memory.pressure");
  }
  node.LookCalm();
  CHECK(node.Concurrency().band() == "calm");
  node.Create(PressureFixture::Request("after"));
  CHECK(node.GetNode().ready());
  // The log of events tells it in order.
  const std::vector<std::string> types = node.EventTypes();
  const auto find = [&](const std::string& type) {
    return std::find(types.begin(), types.end(), type) - types.begin();
  };
  CHECK(find("node.pressure_refuse") < find("node.dialled_back") + 2);
  CHECK(find("node.caches_shrunk") < find("node.pressure_shrink"));
  CHECK(find("node.pressure_shrink") < find("node.pressure_gone"));
  CHECK(node.Count("node.pressure_gone") == 1);
}

TEST_CASE("a start looks at the kernel itself") {
  PressureFixture node;
  node.Prepare();
  node.Look(0);
  node.ChangePressure([](MemoryPressure& pressure) {
    pressure.at += std::chrono::seconds(2);
    pressure.some_micros += 1'000'000;
  });
  CHECK(PressureFixture::ReasonOf(node.TryCreate(PressureFixture::Request())) == "MEMORY_PRESSURE");
}

TEST_CASE("a sandbox that thrashes at its own limit does not keep others out") {
  PressureFixture node;
  node.Prepare();
  const pb::Sandbox thrasher = node.Create(PressureFixture::Request("thrasher"));
  node.Run(node.node().Measure());
  REQUIRE(node.world().HitLimit(PressureFixture::IdOf(thrasher)).ok());
  const pb::Concurrency now = node.Look(0.9);
  CHECK(now.band() == "calm");
  CHECK(now.explained());
  CHECK(node.Count("node.pressure_explained") == 1);
  node.Create(PressureFixture::Request("neighbour"));
}

TEST_CASE("pressure dials the number of sandboxes back, and it recovers") {
  PressureFixture node;
  node.Prepare();
  for (int i = 0; i < 10; ++i) node.Create(PressureFixture::Request());
  CHECK(node.Look(0.2).pressure_limit() == 9);
  node.Look(0);
  // The band has gone before the limit has.
  for (int i = 0; i < 11; ++i) node.Look(0);
  const pb::Concurrency now = node.Concurrency();
  CHECK(now.band() == "calm");
  CHECK(now.sandboxes() == 10);
  CHECK(now.pressure_limit() >= 9);
  if (now.pressure_limit() <= 10) {
    CHECK(PressureFixture::ReasonOf(node.TryCreate(PressureFixture::Request())) ==
          "CONCURRENCY_DIALLED_BACK");
  }
  node.LookCalm();
  CHECK(node.Concurrency().pressure_limit() > 10);
  node.Create(PressureFixture::Request());
}

TEST_CASE("who has to go goes by rank, with an event and a reason; the guaranteed stay") {
  PressureFixture node;
  node.Prepare();
  const pb::Sandbox guaranteed = node.Create(PressureFixture::Request("guaranteed"));
  const pb::Sandbox modest = node.CreateBurstable("modest", -10);
  const pb::Sandbox dear = node.CreateBurstable("dear", 10);
  const pb::Sandbox greedy = node.CreateBurstable("greedy");
  node.Use(guaranteed, 128 * kMiB);  // all that it bought
  node.Use(modest, 60 * kMiB);
  node.Use(dear, 200 * kMiB);
  node.Use(greedy, 100 * kMiB);
  node.Look(0);
  node.LookShort(0.9);
  CHECK(node.LookShort(0.9).band() == "evict");
  const pb::Sandbox ended = node.Await(greedy);
  CHECK(ended.exit().reason() == pb::END_REASON_EVICTED);
  const std::vector<pb::Event> events = node.EventsOf(greedy.name());
  const auto told = std::find_if(events.begin(), events.end(), [](const pb::Event& event) {
    return event.type() == "sandbox.evicting";
  });
  REQUIRE(told != events.end());
  CHECK(told->message().find("100 MiB") != std::string::npos);
  CHECK(told->message().find("64 MiB were set aside") != std::string::npos);
  CHECK(told->tenant() == "tenants/acme");

  // The band outlasts the want, but nobody else has to go for that.
  for (int i = 0; i < 3; ++i) CHECK(node.Look(0).band() == "evict");
  CHECK(node.Get(dear.name()).state() == pb::SANDBOX_STATE_RUNNING);
  CHECK(node.Get(modest.name()).state() == pb::SANDBOX_STATE_RUNNING);

  node.LookShort(0.9);
  CHECK(node.Await(dear).exit().reason() == pb::END_REASON_EVICTED);
  node.LookShort(0.9);
  CHECK(node.Await(modest).exit().reason() == pb::END_REASON_EVICTED);
  for (int i = 0; i < 5; ++i) node.LookShort(0.9);
  CHECK(node.Get(guaranteed.name()).state() == pb::SANDBOX_STATE_RUNNING);
  CHECK(node.Count("node.nobody_to_evict") >= 1);
}

TEST_CASE("a kernel that says nothing of pressure dials nothing back, and that is told once") {
  PressureFixture node;
  node.Prepare();
  node.FailPressure(Unimplemented("no pressure here"));
  node.Create(PressureFixture::Request());
  node.Create(PressureFixture::Request());
  CHECK(node.Concurrency().problem().find("no pressure here") != std::string::npos);
  CHECK(node.Count("node.pressure_unknown") == 1);
  node.ChangePressure([](MemoryPressure&) {});
  node.Look(0);
  CHECK(node.Concurrency().problem().empty());
}

TEST_CASE("the config caps how many may run, of all and of each driver") {
  lifecycle::NodeConfig config = PressureFixture::Config();
  config.caps = {.sandboxes = 3, .by_driver = {{"gvisor", 2}}};
  PressureFixture node(config);
  node.Prepare();
  node.Create(PressureFixture::Request("first"));
  node.Create(PressureFixture::Request("second"));
  const pb::ErrorDetail detail =
      PressureFixture::DetailOf(node.TryCreate(PressureFixture::Request("third")));
  CHECK(detail.reason() == "SANDBOX_CAP");
  CHECK(detail.constraint() == "limits.gvisor");
  const pb::Budget budget = node.Budget();
  for (const pb::OverheadClass& one : budget.classes()) {
    const bool gvisor = one.driver() == "gvisor";
    CHECK(one.more_fit() == (gvisor ? 0 : 1));
    CHECK(one.binding_constraint() == (gvisor ? "limits.gvisor" : "limits.sandboxes"));
  }
  REQUIRE(node.Delete("sandboxes/first").ok());
  node.Create(PressureFixture::Request("third"));
}

TEST_CASE("so many starts happen at once, the others wait for their turn, too many are refused") {
  lifecycle::NodeConfig config = PressureFixture::Config();
  config.starts_per_cpu = {{"gvisor", 1}};  // of two CPUs
  config.start_queue = 3;
  PressureFixture node(config);
  node.Prepare();
  std::promise<void> release;
  node.world().OnStep(drivers::Step::kCreate,
                      [go = release.get_future().share()](const std::string&) { go.wait(); });
  std::vector<std::future<grpc::Status>> starts;
  for (int i = 0; i < 5; ++i) {
    starts.push_back(std::async(std::launch::async,
                                [&node] { return node.TryCreate(PressureFixture::Request()); }));
  }
  // Two are in the driver, three wait.
  const auto gvisor = [&] {
    const pb::Concurrency now = node.Concurrency();
    for (const pb::DriverConcurrency& driver : now.drivers()) {
      if (driver.driver() == "gvisor") return driver;
    }
    return pb::DriverConcurrency();
  };
  while (gvisor().starts_under_way() < 2 || gvisor().starts_queued() < 3) std::this_thread::yield();
  CHECK(gvisor().starts_at_once() == 2);
  const grpc::Status full = node.TryCreate(PressureFixture::Request());
  CHECK(full.error_code() == grpc::StatusCode::UNAVAILABLE);
  CHECK(PressureFixture::ReasonOf(full) == "START_QUEUE_FULL");
  CHECK(PressureFixture::DetailOf(full).has_retry_after());
  release.set_value();
  for (auto& start : starts) CHECK(start.get().ok());
  CHECK(gvisor().starts_under_way() == 0);
  CHECK(gvisor().sandboxes() == 5);
}

TEST_CASE("a start that waited for its turn is not made when memory has run short meanwhile") {
  lifecycle::NodeConfig config = PressureFixture::Config();
  config.starts_per_cpu = {{"gvisor", 1}};
  PressureFixture node(config);
  node.Prepare();
  std::promise<void> release;
  node.world().OnStep(drivers::Step::kCreate,
                      [go = release.get_future().share()](const std::string&) { go.wait(); });
  std::vector<std::future<grpc::Status>> starts;
  for (int i = 0; i < 3; ++i) {
    starts.push_back(std::async(std::launch::async,
                                [&node] { return node.TryCreate(PressureFixture::Request()); }));
  }
  const auto queued = [&] {
    const pb::Concurrency now = node.Concurrency();
    int64_t sum = 0;
    for (const pb::DriverConcurrency& driver : now.drivers()) sum += driver.starts_queued();
    return sum;
  };
  while (queued() < 1) std::this_thread::yield();
  CHECK(node.Look(0.5).band() == "refuse");
  release.set_value();
  int refused = 0;
  for (auto& start : starts) {
    const grpc::Status status = start.get();
    if (status.ok()) continue;
    CHECK(PressureFixture::ReasonOf(status) == "MEMORY_PRESSURE");
    ++refused;
  }
  CHECK(refused == 1);
  CHECK(node.Budget().memory().charged_bytes() == 2 * 192 * kMiB);
}

TEST_CASE("burstable sandboxes are charged their request, and I2 holds across a restart") {
  lifecycle::NodeConfig config = PressureFixture::Config();
  config.reserves.system_bytes = 6 * kGiB;
  PressureFixture node(config);
  node.Prepare();
  const pb::Sandbox first = node.CreateBurstable("first");
  CHECK(first.resources().memory().workload_bytes() == 256 * kMiB);
  CHECK(first.resources().memory().request_bytes() == 64 * kMiB);
  CHECK(first.resources().memory().cgroup_max_bytes() == 320 * kMiB);
  pb::Budget budget = node.Budget();
  CHECK(budget.charged_workload_bytes() == 64 * kMiB);
  CHECK(budget.memory().charged_bytes() == 128 * kMiB);
  CHECK(budget.memory().required_bytes() == 320 * kMiB);  // alone it may do its worst
  CHECK(budget.burst().sandboxes() == 1);
  CHECK(budget.burst().need_bytes() == 256 * kMiB);
  int count = 1;
  pb::CreateSandboxRequest another = PressureFixture::Request();
  another.mutable_spec()->set_workload_bytes(256 * kMiB);
  another.mutable_spec()->set_memory_request_bytes(64 * kMiB);
  while (node.TryCreate(another).ok()) ++count;
  CHECK(count >= 2 * kGiB / (320 * kMiB));
  budget = node.Budget();
  CHECK(budget.memory().charged_bytes() <= budget.memory().allocatable_bytes());
  CHECK(budget.memory().required_bytes() <= budget.memory().allocatable_bytes());
  node.Restart();
  const pb::Budget after = node.Budget();
  CHECK(after.memory().charged_bytes() == budget.memory().charged_bytes());
  CHECK(after.burst().sandboxes() == count);
}

TEST_CASE("what burstable sandboxes are seen to use makes room, within what was promised") {
  lifecycle::NodeConfig config = PressureFixture::Config();
  config.burst.burst_bytes_per_second = 0;
  PressureFixture node(config);
  node.Prepare();
  std::vector<pb::Sandbox> boxes;
  for (int i = 0; i < 8; ++i) boxes.push_back(node.CreateBurstable("box-" + std::to_string(i)));
  const int64_t before = node.Budget().memory().required_bytes();
  for (const pb::Sandbox& box : boxes) node.Use(box, 40 * kMiB);
  for (int i = 0; i < 40; ++i) {
    node.Run(node.node().Measure());
    node.clock().Advance(node.config().measure_window);
  }
  const pb::Budget learned = node.Budget();
  CHECK(learned.memory().required_bytes() < before);
  CHECK(learned.memory().required_bytes() >= learned.memory().charged_bytes());
  CHECK(learned.burst().looks() == 40);
  CHECK(learned.burst().misses() == 0);
  CHECK(learned.measured_workload_bytes() == 8 * 40 * kMiB);
}

TEST_CASE("a request that no sandbox may have is refused") {
  PressureFixture node;
  node.Prepare();
  for (const int64_t bytes : {int64_t{-1}, kMinWorkloadBytes - 1, 257 * kMiB}) {
    pb::CreateSandboxRequest request = PressureFixture::Request();
    request.mutable_spec()->set_workload_bytes(256 * kMiB);
    request.mutable_spec()->set_memory_request_bytes(bytes);
    const grpc::Status status = node.TryCreate(request);
    CHECK(status.error_code() == grpc::StatusCode::INVALID_ARGUMENT);
    CHECK(PressureFixture::DetailOf(status).constraint() == "memory_request_bytes");
  }
  pb::CreateSandboxRequest request = PressureFixture::Request();
  request.mutable_spec()->set_priority(1001);
  CHECK(PressureFixture::DetailOf(node.TryCreate(request)).constraint() == "priority");
  pb::CreateSandboxRequest all = PressureFixture::Request("all");
  all.mutable_spec()->set_memory_request_bytes(128 * kMiB);
  const pb::Sandbox guaranteed = node.Create(all);
  CHECK(guaranteed.resources().memory().request_bytes() == 128 * kMiB);
}

TEST_CASE("the plan of capacity is made from what the node has learned") {
  PressureFixture node;
  node.Prepare();
  pb::PlanCapacityRequest request;
  request.set_trusted(60);
  request.set_untrusted(40);
  request.set_workload_bytes(256 * kMiB);
  request.set_image("app");
  pb::CapacityPlan plan;
  {
    Call call;
    REQUIRE(node.nodes->PlanCapacity(&call, request, &plan).ok());
  }
  CHECK(plan.capacity_bytes() == 8 * kGiB);
  CHECK(plan.allocatable_bytes() == 8 * kGiB);
  REQUIRE(plan.scenarios_size() == 3);
  CHECK(plan.scenarios(1).name() == "gvisor");
  CHECK(plan.scenarios(1).sandboxes() == 8 * kGiB / (320 * kMiB));
  CHECK(plan.scenarios(1).sandboxes_lost() == 32 - 25);
  REQUIRE(plan.classes_size() == 2);
  CHECK(plan.classes(1).confidence() == "none");

  const pb::Sandbox box = node.Create(PressureFixture::Request("box"));
  for (int i = 0; i < 60; ++i) {
    node.Use(box, 10 * kMiB);
    node.Run(node.node().Measure());
    node.clock().Advance(node.config().measure_window);
  }
  {
    Call call;
    REQUIRE(node.nodes->PlanCapacity(&call, request, &plan).ok());
  }
  CHECK(plan.scenarios(1).sandboxes() > 8 * kGiB / (320 * kMiB));
  CHECK(plan.scenarios(1).sandboxes_at_prior() == 8 * kGiB / (320 * kMiB));
  CHECK(plan.classes(1).level() == "image");
  CHECK(plan.classes(1).confidence() == "medium");

  for (const auto& spoil : std::vector<std::function<void(pb::PlanCapacityRequest&)>>{
           [](pb::PlanCapacityRequest& bad) { bad.set_trusted(-1); },
           [](pb::PlanCapacityRequest& bad) { bad.set_capacity_bytes(-5); },
           [](pb::PlanCapacityRequest& bad) { bad.set_workload_bytes(1); },
           [](pb::PlanCapacityRequest& bad) { bad.set_memory_request_bytes(kGiB); }}) {
    pb::PlanCapacityRequest bad = request;
    spoil(bad);
    Call call;
    CHECK(node.nodes->PlanCapacity(&call, bad, &plan).error_code() ==
          grpc::StatusCode::INVALID_ARGUMENT);
  }
  request.set_image("nobody");
  Call call;
  CHECK(node.nodes->PlanCapacity(&call, request, &plan).error_code() ==
        grpc::StatusCode::NOT_FOUND);
}

}  // namespace
}  // namespace claw::test
