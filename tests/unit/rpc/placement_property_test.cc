// Reservations of a whole node over the fake driver: what explain says is what reserve does, nobody
// gets what is taken, and one request id has one answer across a crash at every step.

#include <rapidcheck.h>

#include <algorithm>
#include <catch2/catch.hpp>

#include "tests/unit/rpc/node_fixture.h"

namespace claw::test {
namespace {

using drivers::Step;

constexpr int64_t kAllocatable = 2 * kGiB;

lifecycle::NodeConfig Config() {
  lifecycle::NodeConfig config;
  config.reserves.system_bytes = 6 * kGiB;
  config.stop_grace = std::chrono::milliseconds(1);
  config.shortest_look = std::chrono::milliseconds(0);
  config.labels = {{"zone", "a"}};
  config.cpu_overcommit_percent = 200;
  return config;
}

void Must(const Status& status) {
  if (!status.ok()) throw std::runtime_error(ToLogString(status));
}

class Places : public NodeFixture {
 public:
  Places() : NodeFixture(Config()) {
    for (const auto& [name, trust] :
         {std::pair("house", Trust::kTrusted), std::pair("guest", Trust::kUntrusted)}) {
      Tenant tenant;
      tenant.name = name;
      tenant.trust = trust;
      if (trust == Trust::kUntrusted) tenant.quota.sandboxes = 6;
      Must(Run(node().CreateTenant({}, tenant)).status());
    }
    const auto image = Run(node().ImportImage({}, "rootfs:/app", "app", "", {}, {}));
    Must(image.status());
    CompatOverride value;
    value.image_digest = image->front().digest;
    value.isolation = IsolationClass::kGvisor;
    value.reason = "this is about places";
    Must(Run(node().CreateOverride({}, value, std::chrono::hours(700))).status());
  }

  static SandboxSpec Spec(const std::string& tenant = "guest") {
    SandboxSpec spec;
    spec.tenant = tenant;
    spec.image = "app";
    spec.workload_bytes = 64 * kMiB;
    return spec;
  }

  StatusOr<Sandbox> Reserve(const SandboxSpec& spec, const std::string& id = "") {
    std::vector<lifecycle::Wanted> wanted{{.spec = spec, .ttl = std::chrono::minutes(30)}};
    auto answers = Run(node().Reserve({.request_id = id}, wanted, true));
    if (!answers.ok()) return answers.status();
    return answers->front();
  }
  StatusOr<Sandbox> Commit(const std::string& name, const std::string& id = "") {
    return Run(node().CommitReservation({.request_id = id}, name));
  }

  struct Seen {
    lifecycle::MemoryView memory{};
    std::vector<Sandbox> sandboxes{};
  };
  Seen Look() {
    return Run([](lifecycle::Node& node) -> lifecycle::Task<Seen> {
      co_return Seen{.memory = node.memory(), .sandboxes = node.ListSandboxes()};
    }(node()));
  }
  StatusOr<placement::Explanation> Explain(const SandboxSpec& spec) {
    using Answer = StatusOr<placement::Explanation>;
    return Run([](lifecycle::Node& node, SandboxSpec wanted) -> lifecycle::Task<Answer> {
      co_await node.LookAround();
      const auto found = node.Explain(wanted);
      if (!found.ok()) co_return found.status();
      co_return found->front();
    }(node(), spec));
  }

  void Check() {
    const Seen seen = Look();
    int64_t sum = 0;
    for (const Sandbox& sandbox : seen.sandboxes) {
      if (!sandbox.released) sum += ChargedBytes(sandbox.resources.memory);
    }
    RC_ASSERT(seen.memory.charged_bytes == sum);
    RC_ASSERT(seen.memory.required_bytes <= kAllocatable);
  }

  Sandbox Any(bool reserved) {
    std::vector<Sandbox> some = Look().sandboxes;
    std::erase_if(some, [&](const Sandbox& one) { return one.lease.has_value() != reserved; });
    if (some.empty()) return Sandbox{.id = "0000000000000000"};
    return some[*rc::gen::inRange<size_t>(0, some.size())];
  }
};

SandboxSpec AnySpec() {
  SandboxSpec spec = Places::Spec(*rc::gen::element<std::string>("house", "guest"));
  spec.workload_bytes = *rc::gen::inRange<int64_t>(16, 700) * kMiB;
  if (*rc::gen::arbitrary<bool>()) spec.request_bytes = kMinWorkloadBytes;
  spec.cpu_millis = *rc::gen::element<int64_t>(0, 0, 100, 1500, 2500);
  if (*rc::gen::inRange(0, 6) == 0) {
    spec.node_selector["zone"] = *rc::gen::element<std::string>("a", "b");
  }
  spec.exclusive = *rc::gen::inRange(0, 10) == 0;
  if (*rc::gen::inRange(0, 8) == 0) {
    spec.avoid_tenants = {spec.tenant == "house" ? "guest" : "house"};
  }
  return spec;
}

TEST_CASE("what explain says is what reserve does, whatever has happened") {
  CHECK(rc::check("random operations", [] {
    Places node;
    for (int i = *rc::gen::inRange(5, 30); i > 0; --i) {
      switch (*rc::gen::weightedElement<int>({{10, 0}, {3, 1}, {2, 2}, {2, 3}, {1, 4}, {1, 5}})) {
        case 0: {
          const SandboxSpec spec = AnySpec();
          const auto said = node.Explain(spec);
          RC_ASSERT(said.ok());
          const StatusOr<Sandbox> done = node.Reserve(spec);
          RC_ASSERT(said->fits == done.ok());
          if (done.ok()) {
            RC_ASSERT(said->offer->memory == done->resources.memory);
          } else {
            const auto unmet =
                std::find_if(said->constraints.begin(), said->constraints.end(),
                             [](const placement::Constraint& one) { return !one.met; });
            RC_ASSERT(unmet->refusal.message() == done.status().message());
            RC_ASSERT(GetErrorDetail(done.status())->outcome == Outcome::kRefused);
          }
          break;
        }
        case 1:
          (void)node.Commit(node.Any(true).id);
          break;
        case 2:
          (void)node.Run(node.node().ReleaseReservation({}, node.Any(true).id, true));
          break;
        case 3:
          (void)node.Run(node.node().DeleteSandbox({}, node.Any(false).id, true, true));
          break;
        case 4:
          node.world().Fail(*rc::gen::element(Step::kCreate, Step::kStart), Internal("it broke"));
          break;
        default:
          node.Crash();
      }
      node.Check();
    }
  }));
}

TEST_CASE("a thousand callers at once never get more than there is") {
  Places node;
  std::vector<std::future<StatusOr<std::vector<StatusOr<Sandbox>>>>> calls;
  for (int i = 0; i < 1000; ++i) {
    std::vector<lifecycle::Wanted> wanted{{.spec = Places::Spec("house")}};
    calls.push_back(
        node.Begin(node.node().Reserve({.request_id = StrCat("caller-", i % 900)}, wanted, true)));
  }
  std::map<std::string, int> places;
  int refused = 0;
  for (auto& call : calls) {
    const auto answer = call.get();
    if (answer.ok()) {
      ++places[answer->front()->id];
      continue;
    }
    ++refused;
    CHECK(GetErrorDetail(answer.status())->reason == "MEMORY_EXHAUSTED");
  }
  const Places::Seen seen = node.Look();
  CHECK(seen.memory.charged_bytes <= kAllocatable);
  CHECK(places.size() == seen.sandboxes.size());
  CHECK(refused > 0);
  // It is full: one more like these does not fit.
  const int64_t one = ChargedBytes(seen.sandboxes.front().resources.memory);
  CHECK(kAllocatable - seen.memory.charged_bytes < one);
  // Of the ids that came twice both got the same place.
  for (const auto& [id, count] : places) CHECK(count <= 2);
}

// The agent dies at each step of a reservation's life; whoever asks again with the same ids gets
// one sandbox, or the answer that there is none, and always the same one.
TEST_CASE("one request id has one answer across a crash at every step") {
  enum class Moment { kReserved, kCreated, kStarted, kRunning, kReleased };
  const auto moment = GENERATE(Moment::kReserved, Moment::kCreated, Moment::kStarted,
                               Moment::kRunning, Moment::kReleased);
  Places node;
  const StatusOr<Sandbox> held = node.Reserve(Places::Spec(), "reserve");
  REQUIRE(held.ok());
  if (moment == Moment::kRunning) REQUIRE(node.Commit(held->id, "commit").ok());
  if (moment == Moment::kReleased) {
    REQUIRE(
        node.Run(node.node().ReleaseReservation({.request_id = "release"}, held->id, false)).ok());
  }
  if (moment == Moment::kCreated || moment == Moment::kStarted) {
    // The driver does what it was asked for, and nobody hears of it.
    const auto gate = node.world().Block(moment == Moment::kCreated ? Step::kCreate : Step::kStart);
    auto call = node.Begin(node.node().CommitReservation({.request_id = "commit"}, held->id));
    REQUIRE(gate->AwaitArrival());
    node.Crash([&gate] { gate->Release(); });
  } else {
    node.Crash();
  }

  if (moment == Moment::kReleased) {
    CHECK(
        node.Run(node.node().ReleaseReservation({.request_id = "release"}, held->id, false)).ok());
    CHECK(node.Commit(held->id, "commit").status().code() == StatusCode::kNotFound);
    const StatusOr<Sandbox> over = node.Reserve(Places::Spec(), "reserve");
    CHECK(GetErrorDetail(over.status())->reason == "ALREADY_DONE");
    CHECK(node.Look().memory.charged_bytes == 0);
    return;
  }
  const StatusOr<Sandbox> again = node.Reserve(Places::Spec(), "reserve");
  const StatusOr<Sandbox> first = node.Commit(held->id, "commit");
  const StatusOr<Sandbox> second = node.Commit(held->id, "commit");
  CHECK(first.status().code() == second.status().code());
  const size_t running = node.world().running().size();
  if (first.ok()) {
    CHECK(again.ok());
    CHECK(first->id == held->id);
    CHECK(second->id == held->id);
    CHECK(running == 1);
  } else {
    CHECK(running == 0);
    CHECK(GetErrorDetail(first.status())->outcome == Outcome::kUndone);
    CHECK(node.Look().memory.charged_bytes == 0);
  }
  CHECK(first.ok() == (moment == Moment::kReserved || moment == Moment::kRunning));
}

}  // namespace
}  // namespace claw::test
