#include <catch2/catch.hpp>

#include "agent/base/strings.h"
#include "tests/unit/rpc/node_fixture.h"

namespace claw::test {
namespace {

NetworkPolicy Allow(const std::string& rule) {
  NetworkPolicy policy;
  policy.egress.push_back(*ParseNetworkRule(rule));
  return policy;
}

// A node with an image "app", and a trusted tenant "acme" under the policy "web".
class NetworkFixture : public NodeFixture {
 public:
  NetworkFixture() {
    REQUIRE(Put("web", Allow("10.0.0.1:80")).ok());
    AddTenant("acme", Trust::kTrusted, "web");
    const auto image = Run(node().ImportImage({}, "rootfs:/app", "app", "", {}, {}));
    REQUIRE(image.ok());
  }
  void AddTenant(const std::string& name, Trust trust, const std::string& policy) {
    const auto made =
        Run(node().CreateTenant({}, {.name = name, .trust = trust, .network_policy = policy}));
    INFO(ToLogString(made.status()));
    REQUIRE(made.ok());
  }
  StatusOr<NamedNetworkPolicy> Put(const std::string& name, NetworkPolicy policy) {
    return Run(node().PutNetworkPolicy({}, {.name = name, .policy = std::move(policy)}));
  }
  static SandboxSpec Spec(const std::string& tenant = "acme") {
    SandboxSpec spec;
    spec.tenant = tenant;
    spec.image = "app";
    spec.network.mode = NetworkMode::kBridge;
    return spec;
  }
  StatusOr<Sandbox> TryStart(SandboxSpec spec) {
    return Run(node().CreateSandbox({}, std::move(spec), false));
  }
  Sandbox Start(SandboxSpec spec = Spec()) {
    const auto started = TryStart(std::move(spec));
    INFO(ToLogString(started.status()));
    REQUIRE(started.ok());
    return *started;
  }
  // What the node says of itself, on its strand.
  template <typename Ask>
  auto On(Ask ask) {
    return Run([](Ask what, lifecycle::Node& node) -> lifecycle::Task<decltype(ask(node))> {
      co_return what(node);
    }(ask, node()));
  }
  int64_t Charged() {
    return On([](lifecycle::Node& node) { return node.memory().charged_bytes; });
  }
  bool Fits() {
    return On([](lifecycle::Node& node) { return node.Explain(Spec())->front().fits; });
  }
  std::string EventsText() {
    std::string text;
    const auto events = Run(node().ReadEvents({}));
    REQUIRE(events.ok());
    for (const Event& event : *events) text += StrCat(event.type, " ", event.message, "\n");
    return text;
  }
};

std::string ReasonOf(const Status& status) {
  return GetErrorDetail(status).value_or(ErrorDetail{}).reason;
}

TEST_CASE("a sandbox that wants a network has it before it starts, under its tenant's policy") {
  NetworkFixture fixture;
  SandboxSpec spec = NetworkFixture::Spec();
  spec.network.policy = Allow("10.0.0.0/8");
  const Sandbox sandbox = fixture.Start(spec);
  CHECK(sandbox.network_mode == NetworkMode::kBridge);
  REQUIRE(sandbox.network.has_value());
  CHECK(sandbox.network->ipv4.starts_with("10.222."));
  const network::NetworkPlan plan = fixture.networks().attached().at(sandbox.id);
  CHECK(plan.tenant == "acme");
  REQUIRE(plan.layers.size() == 2);
  CHECK(plan.layers[0].name == "web");
  CHECK(plan.layers[0].policy == Allow("10.0.0.1:80"));
  CHECK(plan.layers[1].policy == Allow("10.0.0.0/8"));
  REQUIRE(fixture.Run(fixture.node().DeleteSandbox({}, sandbox.id, true, false)).ok());
  CHECK(fixture.networks().attached().empty());
}

TEST_CASE("who asks for nothing is connected only if trusted, and under a policy") {
  NetworkFixture fixture;
  fixture.AddTenant("plain", Trust::kTrusted, "");
  SandboxSpec spec = NetworkFixture::Spec();
  spec.network.mode.reset();
  CHECK(fixture.Start(spec).network_mode == NetworkMode::kBridge);
  spec.tenant = "plain";
  CHECK(fixture.Start(spec).network_mode == NetworkMode::kNone);
  // Without a policy everything is denied, whatever the sandbox itself allows.
  spec.network.policy = Allow("10.0.0.0/8");
  const Sandbox asked = fixture.Start(spec);
  CHECK(asked.network_mode == NetworkMode::kBridge);
  const auto layers = fixture.networks().attached().at(asked.id).layers;
  REQUIRE(layers.size() == 2);
  CHECK(layers[0].policy == NetworkPolicy{});
}

TEST_CASE("a node that nobody asks for a network never makes one") {
  NetworkFixture fixture;
  SandboxSpec spec = NetworkFixture::Spec();
  spec.network.mode = NetworkMode::kNone;
  fixture.Start(spec);
  fixture.Restart();
  CHECK(fixture.networks().probes() == 0);
}

TEST_CASE("what cannot be connected does not run, and leaves nothing") {
  const std::string call = GENERATE("probe", "prepare", "attach");
  INFO(call);
  NetworkFixture fixture;
  fixture.networks().Fail(call, FailedPrecondition("the kernel says no"));
  const auto refused = fixture.TryStart(NetworkFixture::Spec());
  REQUIRE_FALSE(refused.ok());
  CHECK(ToLogString(refused.status()).find("the kernel says no") != std::string::npos);
  CHECK(fixture.On([](lifecycle::Node& node) { return node.ListSandboxes().empty(); }));
  CHECK(fixture.networks().attached().empty());
  CHECK(fixture.Charged() == 0);
  fixture.networks().Fail(call, absl::OkStatus());
  fixture.Start();
}

TEST_CASE("addresses that are used up are a refusal, told in advance from then on") {
  NetworkFixture fixture;
  fixture.networks().SetAddresses(1);
  const Sandbox first = fixture.Start();
  const auto refused = fixture.TryStart(NetworkFixture::Spec());
  CHECK(ReasonOf(refused.status()) == "ADDRESSES_EXHAUSTED");
  CHECK_FALSE(fixture.Fits());
  SandboxSpec unconnected = NetworkFixture::Spec();
  unconnected.network.mode = NetworkMode::kNone;
  CHECK(fixture.TryStart(unconnected).ok());
  REQUIRE(fixture.Run(fixture.node().DeleteSandbox({}, first.id, true, false)).ok());
  CHECK(fixture.Fits());
  fixture.Start();
}

TEST_CASE("a policy that is changed counts for those that run, or has not been changed") {
  NetworkFixture fixture;
  const Sandbox sandbox = fixture.Start();
  const auto in_force = [&] {
    return fixture.networks().attached().at(sandbox.id).layers.front().policy;
  };
  REQUIRE(fixture.Put("web", Allow("10.0.0.2:80")).ok());
  CHECK(in_force() == Allow("10.0.0.2:80"));
  fixture.networks().Fail("replace", Internal("the kernel says no"));
  CHECK_FALSE(fixture.Put("web", Allow("10.0.0.3:80")).ok());
  CHECK(in_force() == Allow("10.0.0.2:80"));
  CHECK(fixture.On([](lifecycle::Node& node) { return node.GetNetworkPolicy("web")->policy; }) ==
        Allow("10.0.0.2:80"));
  fixture.networks().Fail("replace", absl::OkStatus());
  // Another policy for the tenant, and one of the sandbox's own.
  REQUIRE(fixture.Put("mail", Allow("10.0.0.9:25")).ok());
  REQUIRE(fixture.Run(fixture.node().UpdateTenant({}, "acme", {.network_policy = "mail"})).ok());
  CHECK(in_force() == Allow("10.0.0.9:25"));
  const auto set = fixture.Run(
      fixture.node().SetSandboxNetwork({.request_id = "once"}, sandbox.id, Allow("10.0.0.9:26")));
  REQUIRE(set.ok());
  CHECK(fixture.networks().attached().at(sandbox.id).layers.back().policy == Allow("10.0.0.9:26"));
  CHECK(fixture.EventsText().find("to 10.0.0.9/32:26/tcp is allowed") != std::string::npos);
  fixture.Restart();
  CHECK(fixture.networks().attached().at(sandbox.id).layers.back().policy == Allow("10.0.0.9:26"));
  CHECK(fixture
            .Run(fixture.node().SetSandboxNetwork({.request_id = "once"}, sandbox.id,
                                                  Allow("10.0.0.9:26")))
            .ok());
}

TEST_CASE("rules of one that is not connected cannot be set") {
  NetworkFixture fixture;
  SandboxSpec spec = NetworkFixture::Spec();
  spec.network.mode = NetworkMode::kNone;
  const Sandbox sandbox = fixture.Start(spec);
  const auto set =
      fixture.Run(fixture.node().SetSandboxNetwork({}, sandbox.id, Allow("10.0.0.9:26")));
  CHECK(ReasonOf(set.status()) == "NOT_CONNECTED");
}

TEST_CASE("after a restart those that run are connected as before, and leftovers go") {
  NetworkFixture fixture;
  const Sandbox sandbox = fixture.Start();
  network::NetworkPlan stray{.id = "00000000deadbeef", .tenant = "acme"};
  REQUIRE(fixture.networks().Prepare(stray).ok());
  REQUIRE(fixture.networks().Attach(stray, 1).ok());
  fixture.Crash();
  CHECK(fixture.networks().attached().size() == 1);
  CHECK(fixture.networks().attached().count(sandbox.id) == 1);
  CHECK(fixture.EventsText().find("network.orphan_removed") != std::string::npos);
  CHECK(fixture.On([&](lifecycle::Node& node) { return node.GetSandbox(sandbox.id)->network; }) ==
        sandbox.network);
  REQUIRE(fixture.Put("web", Allow("10.0.0.7:80")).ok());
  CHECK(fixture.networks().attached().at(sandbox.id).layers[0].policy == Allow("10.0.0.7:80"));
}

TEST_CASE("an end that leaves rules behind is tried again, and its memory stays charged") {
  NetworkFixture fixture;
  const Sandbox sandbox = fixture.Start();
  fixture.networks().Fail("detach", Unavailable("busy"));
  CHECK_FALSE(fixture.Run(fixture.node().DeleteSandbox({}, sandbox.id, true, false)).ok());
  CHECK(fixture.Charged() > 0);
  fixture.networks().Fail("detach", absl::OkStatus());
  REQUIRE(fixture.Run(fixture.node().DeleteSandbox({}, sandbox.id, true, true)).ok());
  CHECK(fixture.networks().attached().empty());
  CHECK(fixture.Charged() == 0);
}

TEST_CASE("what networks tell becomes events, and nothing is connected without protection") {
  NetworkFixture fixture;
  const Sandbox sandbox = fixture.Start();
  const network::NetworkEvents events = fixture.networks().events();
  events.on_denied(
      {.id = sandbox.id, .peer = "10.9.9.9", .port = 25, .protocol = "tcp", .packets = 4});
  events.on_unprotected("the table is somebody else's", {sandbox.id});
  // Handed to the strand in this order; one more round trip, and they are there.
  const auto conditions = [&] {
    std::string text;
    const auto all = fixture.On([](lifecycle::Node& node) { return node.conditions(); });
    for (const std::string& one : all) text += one + "\n";
    return text;
  };
  while (conditions().find("somebody else's") == std::string::npos) {
    fixture.EventsText();
  }
  CHECK(ReasonOf(fixture.TryStart(NetworkFixture::Spec()).status()) == "NETWORK_UNAVAILABLE");
  events.on_repaired("they are back");
  while (conditions().find("somebody else's") != std::string::npos) {
    fixture.EventsText();
  }
  fixture.Start();
  const std::string text = fixture.EventsText();
  CHECK(text.find("network.denied tcp to 10.9.9.9:25 was denied, and 3 more packets") !=
        std::string::npos);
  CHECK(text.find("network.unprotected") != std::string::npos);
  CHECK(text.find("network.repaired") != std::string::npos);
}

}  // namespace
}  // namespace claw::test
