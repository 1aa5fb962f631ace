// Memory that moves between the host, which has 8 GiB, and its guests.

#include <algorithm>
#include <atomic>
#include <thread>

#include "agent/lifecycle/vms.h"
#include "tests/unit/rpc/service_fixture.h"

namespace claw::test {
namespace {

constexpr int64_t kOverhead = 64 * kMiB;

class BalloonFixture : public NodeFixture {
 public:
  void Make(const std::string& name, int64_t memory_bytes) {
    const lifecycle::Call call;
    VmSpec spec{.name = name, .memory_bytes = memory_bytes};
    REQUIRE(Run(node().vms().Create(call, spec, false)).ok());
  }
  Status Start(const std::string& name) {
    const lifecycle::Call call;
    return Run(node().vms().Start(call, name, nullptr)).status();
  }
  void Stop(const std::string& name) {
    const lifecycle::Call call;
    REQUIRE(Run(node().vms().Stop(call, name, std::nullopt, false)).ok());
  }
  // One that runs; of its memory its guest's kernel uses 128 MiB.
  void Have(const std::string& name, int64_t memory_bytes) {
    Make(name, memory_bytes);
    REQUIRE(Start(name).ok());
    vms().With(name, [](auto& machine) { machine.used_bytes = 128 * kMiB; });
    Look();
  }
  void Look() { Run(node().vms().Look()); }
  void Grow() { Run(node().vms().GrowWhereNeeded()); }
  Vm Get(const std::string& name) {
    const auto view = Run(GetView(node(), name));
    REQUIRE(view.ok());
    return view->vm;
  }
  int64_t Charged() { return Run(ReadCharged(node())); }
  int64_t BalloonOfGuest(const std::string& name) {
    return vms().With(name, [](auto& machine) { return machine.balloon_bytes; });
  }
  int64_t TargetOfGuest(const std::string& name) {
    return vms().With(name, [](auto& machine) { return machine.balloon_target; });
  }
  std::vector<std::string> EventTypes(const std::string& name) {
    store::EventQuery query{.subject = "vms/" + name, .limit = 100};
    const auto events = Run(node().ReadEvents(query));
    std::vector<std::string> types;
    if (!events.ok()) return types;
    for (const Event& event : *events) types.push_back(event.type);
    return types;
  }

 private:
  static lifecycle::Task<StatusOr<lifecycle::VmView>> GetView(lifecycle::Node& node,
                                                              std::string name) {
    co_return node.vms().Get(name);
  }

 public:
  static lifecycle::Task<int64_t> ReadCharged(lifecycle::Node& node) {
    co_return node.vms().ChargedBytes();
  }
};

TEST_CASE_METHOD(BalloonFixture,
                 "balloons: a start that does not fit takes what guests can spare") {
  Have("idle", 6 * kGiB);
  Make("next", 3 * kGiB);
  REQUIRE(Start("next").ok());
  // Of 9 GiB and what QEMU takes twice, 8 GiB are there.
  CHECK(BalloonOfGuest("idle") == 5 * kGiB - 2 * kOverhead);
  CHECK(Get("idle").balloon_bytes == 5 * kGiB - 2 * kOverhead);
  CHECK(Charged() == 8 * kGiB);
  const auto types = EventTypes("idle");
  CHECK(std::count(types.begin(), types.end(), "vm.balloon") == 1);
  CHECK(types.back() == "vm.balloon_settled");
  // It has all of its memory when it is switched on again.
  Stop("next");
  Stop("idle");
  REQUIRE(Start("idle").ok());
  CHECK(Charged() == 6 * kGiB + kOverhead);
}

TEST_CASE_METHOD(BalloonFixture, "balloons: what guests need is theirs, and nobody is bothered") {
  Have("busy", 6 * kGiB);
  Make("next", 3 * kGiB);
  SECTION("promised to its sandboxes") {
    vms().With("busy", [](auto& machine) { machine.charged_bytes = 5 * kGiB; });
  }
  SECTION("in use, whatever was promised") {
    vms().With("busy", [](auto& machine) { machine.used_bytes = 5 * kGiB; });
  }
  SECTION("under pressure") {
    vms().With("busy", [](auto& machine) { machine.pressure = "shrink"; });
  }
  SECTION("it does not answer") {
    vms().With("busy", [](auto& machine) { machine.answers = false; });
  }
  const Status refused = Start("next");
  CHECK(GetErrorDetail(refused).value_or(ErrorDetail{}).reason == "MEMORY_EXHAUSTED");
  CHECK(TargetOfGuest("busy") == 6 * kGiB);
  CHECK(Charged() == 6 * kGiB + kOverhead);
}

TEST_CASE_METHOD(BalloonFixture, "balloons: charged until it was seen to be given back (I2)") {
  Have("slow", 6 * kGiB);
  vms().With("slow", [](auto& machine) { machine.gives = false; });
  auto room = Begin(node().vms().MakeRoomFor(4 * kGiB));
  const int64_t target = 4 * kGiB - kOverhead;
  while (TargetOfGuest("slow") != target) std::this_thread::yield();
  CHECK(Charged() == 6 * kGiB + kOverhead);
  // Half of it is not all of it.
  vms().With("slow", [](auto& machine) { machine.balloon_bytes = 5 * kGiB; });
  Look();
  CHECK(Charged() == 5 * kGiB + kOverhead);
  CHECK(room.wait_for(std::chrono::seconds(0)) == std::future_status::timeout);
  vms().Give("slow");
  room.get();
  CHECK(Charged() == 4 * kGiB);
}

TEST_CASE_METHOD(BalloonFixture, "balloons: a guest that gives nothing back is not waited for") {
  config().vms.balloon_timeout = std::chrono::milliseconds(20);
  Restart();
  Have("mean", 4 * kGiB);
  vms().With("mean", [](auto& machine) { machine.gives = false; });
  Run(node().vms().MakeRoomFor(5 * kGiB));
  CHECK(Charged() == 4 * kGiB + kOverhead);
  // It is no longer asked to, and does not count as if it would.
  CHECK(TargetOfGuest("mean") == 4 * kGiB);
  CHECK(Get("mean").balloon_bytes == 4 * kGiB);
  Have("kind", 3 * kGiB);
  vms().With("mean", [](auto& machine) { machine.charged_bytes = 4 * kGiB; });
  Run(node().vms().MakeRoomFor(2 * kGiB));
  CHECK(BalloonOfGuest("kind") < 3 * kGiB);
}

TEST_CASE_METHOD(BalloonFixture, "balloons: one that grows is charged before it is told") {
  Have("mac1", 6 * kGiB);
  Run(node().vms().MakeRoomFor(4 * kGiB));
  const int64_t small = BalloonOfGuest("mac1");
  REQUIRE(small < 6 * kGiB);
  Grow();
  CHECK(BalloonOfGuest("mac1") == small);  // it needs no more
  vms().With("mac1", [](auto& machine) { machine.charged_bytes = machine.balloon_bytes; });
  Look();
  std::atomic<int64_t> charged = 0;
  std::atomic<bool> durable = false;
  SECTION("it grows") {
    vms().BeforeBalloon([&] {
      charged = Run(ReadCharged(node()));
      const auto types = EventTypes("mac1");
      durable = !types.empty() && types.back() == "vm.balloon";
    });
    Grow();
    CHECK(BalloonOfGuest("mac1") == small + 64 * kMiB);
    CHECK(charged == small + 64 * kMiB + kOverhead);
    CHECK(durable);
  }
  SECTION("it cannot be told, and stays charged") {
    vms().Reach(MakeError(StatusCode::kUnavailable, "gone", {.reason = "HYPERVISOR_UNREACHABLE"}));
    Grow();
    CHECK(BalloonOfGuest("mac1") == small);
    CHECK(Charged() == small + 64 * kMiB + kOverhead);
    vms().Reach(absl::OkStatus());
    Look();  // and is told again
    CHECK(BalloonOfGuest("mac1") == small + 64 * kMiB);
  }
  SECTION("the host has no room") {
    Make("other", 4 * kGiB - kOverhead);
    REQUIRE(Start("other").ok());
    REQUIRE(Charged() == 8 * kGiB);
    Grow();
    CHECK(BalloonOfGuest("mac1") == small);
  }
  vms().BeforeBalloon(nullptr);
}

TEST_CASE_METHOD(BalloonFixture, "balloons: a guest that refused gets its memory back for that") {
  Have("mac1", 6 * kGiB);
  Run(node().vms().MakeRoomIn("mac1", 5 * kGiB));  // it has it
  CHECK(BalloonOfGuest("mac1") == 6 * kGiB);
  Run(node().vms().MakeRoomFor(4 * kGiB));
  const int64_t small = BalloonOfGuest("mac1");
  Run(node().vms().MakeRoomIn("mac1", 7 * kGiB));  // it never had it
  CHECK(BalloonOfGuest("mac1") == small);
  SECTION("the host has it") {
    Run(node().vms().MakeRoomIn("mac1", 5 * kGiB));
    CHECK(BalloonOfGuest("mac1") == 5 * kGiB);
    CHECK(Charged() == 5 * kGiB + kOverhead);
  }
  SECTION("the host has not") {
    Make("other", 4 * kGiB - kOverhead);
    REQUIRE(Start("other").ok());
    Run(node().vms().MakeRoomIn("mac1", 5 * kGiB));
    CHECK(BalloonOfGuest("mac1") == small);
    CHECK(Charged() == 8 * kGiB);
  }
}

TEST_CASE_METHOD(BalloonFixture, "balloons: after a restart, what a guest has is what is charged") {
  Have("mac1", 6 * kGiB);
  const int64_t target = 4 * kGiB - kOverhead;
  SECTION("the agent died before the guest was told to shrink") {
    vms().With("mac1", [](auto& machine) { machine.deaf = true; });
    Begin(node().vms().MakeRoomFor(4 * kGiB));
    while (Get("mac1").balloon_bytes != target) std::this_thread::yield();
    Crash([&] { vms().With("mac1", [](auto& machine) { machine.deaf = false; }); });
    CHECK(Charged() >= target + kOverhead);
    while (TargetOfGuest("mac1") != target) std::this_thread::yield();
    while (Charged() != target + kOverhead) std::this_thread::yield();
  }
  SECTION("the guest gave back while no agent was there") {
    vms().With("mac1", [](auto& machine) { machine.gives = false; });
    Begin(node().vms().MakeRoomFor(4 * kGiB));
    while (TargetOfGuest("mac1") != target) std::this_thread::yield();
    Crash([&] { vms().With("mac1", [=](auto& machine) { machine.balloon_bytes = target; }); });
    while (Charged() != target + kOverhead) std::this_thread::yield();
  }
  SECTION("the guest has more than anybody thought") {
    Run(node().vms().MakeRoomFor(4 * kGiB));
    REQUIRE(Charged() == target + kOverhead);
    Crash([&] {
      vms().With("mac1", [](auto& machine) {
        machine.balloon_bytes = 5 * kGiB;
        machine.gives = false;
      });
    });
    while (Charged() != 5 * kGiB + kOverhead) std::this_thread::yield();
  }
}

TEST_CASE_METHOD(BalloonFixture,
                 "what QEMU takes is charged as it is seen, and falls with a boot") {
  Have("mac1", kGiB);
  const auto takes = [this](int64_t bytes) {
    vms().With("mac1", [bytes](auto& machine) { machine.overhead_bytes = bytes; });
    Look();
  };
  takes(20 * kMiB);
  CHECK(Get("mac1").measured_overhead_bytes == 36 * kMiB);
  CHECK(Charged() == kGiB + kOverhead);  // no less before it is off
  takes(160 * kMiB);
  CHECK(Charged() == kGiB + 180 * kMiB);
  takes(20 * kMiB);
  CHECK(Charged() == kGiB + 180 * kMiB);
  Restart();
  CHECK(Charged() == kGiB + 180 * kMiB);
  Stop("mac1");
  REQUIRE(Start("mac1").ok());
  CHECK(Charged() == kGiB + 180 * kMiB);
  // What was seen once fades; never below a quarter of the guess.
  for (int i = 0; i < 40; ++i) {
    Stop("mac1");
    REQUIRE(Start("mac1").ok());
  }
  CHECK(Charged() == kGiB + kOverhead / 4);
}

TEST_CASE_METHOD(BalloonFixture, "more for QEMU than was promised is made up for by other guests") {
  Have("idle", 6 * kGiB);
  Have("mac1", kGiB + 512 * kMiB);
  vms().With("mac1", [](auto& machine) { machine.overhead_bytes = 800 * kMiB; });
  Look();
  while (Charged() > 8 * kGiB) std::this_thread::yield();
  CHECK(BalloonOfGuest("idle") < 6 * kGiB);
}

lifecycle::NodeConfig Following() {
  lifecycle::NodeConfig config;
  config.capacity_follows = true;
  return config;
}

class FollowingFixture : public ServiceFixture {
 public:
  FollowingFixture() : ServiceFixture(Following()) {}
  void SetTotal(int64_t bytes) {
    ChangePressure([bytes](MemoryPressure& pressure) { pressure.total_bytes = bytes; });
    Run(node().LookAtPressure());
  }
};

TEST_CASE_METHOD(FollowingFixture, "a guest that was shrunk refuses, and ends nothing for that") {
  std::atomic<int64_t> limit = 0;
  limit_memory = [&limit](int64_t bytes) {
    limit = bytes;
    return absl::OkStatus();
  };
  Prepare();
  pb::CreateSandboxRequest request = Request("first");
  request.mutable_spec()->set_workload_bytes(3 * kGiB);
  const pb::Sandbox first = Create(request);
  SetTotal(4 * kGiB);
  CHECK(GetNode().memory().capacity_bytes() == 4 * kGiB);
  CHECK(limit == 4 * kGiB);
  request = Request("second");
  request.mutable_spec()->set_workload_bytes(2 * kGiB);
  CHECK(ReasonOf(TryCreate(request)) == "MEMORY_EXHAUSTED");
  // Less than it has promised: the limit around its sandboxes stays where that was.
  SetTotal(2 * kGiB);
  CHECK(GetNode().memory().capacity_bytes() == 2 * kGiB);
  CHECK(limit >= 3 * kGiB);
  CHECK(Get(first.name()).state() == pb::SANDBOX_STATE_RUNNING);
  SetTotal(6 * kGiB);
  CHECK(limit == 6 * kGiB);
  CHECK(TryCreate(request).ok());
  // Where nobody says, it is as it was.
  SetTotal(0);
  CHECK(GetNode().memory().capacity_bytes() == 6 * kGiB);
  limit_memory = nullptr;
}

TEST_CASE_METHOD(ServiceFixture, "a host's capacity is what its config says") {
  ChangePressure([](MemoryPressure& pressure) { pressure.total_bytes = kGiB; });
  Run(node().LookAtPressure());
  CHECK(GetNode().memory().capacity_bytes() == 8 * kGiB);
}

}  // namespace
}  // namespace claw::test
