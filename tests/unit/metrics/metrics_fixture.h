#pragma once

#include <catch2/catch.hpp>
#include <chrono>
#include <string>

#include "agent/metrics/exposition.h"
#include "tests/support/prometheus_text.h"
#include "tests/unit/rpc/node_fixture.h"

namespace claw::test {

// A node with the image "app", and what is told of it.
class MetricsFixture : public NodeFixture {
 public:
  explicit MetricsFixture(lifecycle::NodeConfig config = {}) : NodeFixture(std::move(config)) {
    REQUIRE(Run(node().ImportImage({}, "rootfs:/app", "app", "", {}, {})).ok());
  }

  // A trusted one, whose sandboxes run in containers.
  void AddTenant(const std::string& name) {
    Tenant tenant;
    tenant.name = name;
    tenant.trust = Trust::kTrusted;
    REQUIRE(Run(node().CreateTenant({}, tenant)).ok());
  }

  StatusOr<Sandbox> TryCreate(const std::string& tenant, int64_t workload_bytes = 128 * kMiB) {
    SandboxSpec spec;
    spec.tenant = tenant;
    spec.image = "app";
    spec.workload_bytes = workload_bytes;
    return Run(node().CreateSandbox({}, spec, false));
  }

  Sandbox Create(const std::string& tenant, int64_t workload_bytes = 128 * kMiB) {
    const StatusOr<Sandbox> made = TryCreate(tenant, workload_bytes);
    INFO(ToLogString(made.status()));
    REQUIRE(made.ok());
    return *made;
  }

  // One that has a network, of which has been counted what passed.
  Sandbox Connect(const std::string& tenant) {
    SandboxSpec spec;
    spec.tenant = tenant;
    spec.image = "app";
    spec.network.mode = NetworkMode::kBridge;
    const StatusOr<Sandbox> made = Run(node().CreateSandbox({}, spec, false));
    INFO(ToLogString(made.status()));
    REQUIRE(made.ok());
    Run(node().network().Total());
    return *made;
  }

  Status Delete(const std::string& id) { return Run(node().DeleteSandbox({}, id, true, false)); }

  // Ends a sandbox's program, and returns once its memory is charged no longer.
  void EndAndRelease(const Sandbox& sandbox, int code = 0, bool oom_killed = false) {
    auto released = AwaitEvent("sandbox.released", sandbox.id);
    REQUIRE(world().Exit(sandbox.id, code, oom_killed).ok());
    released.get();
  }

  // Ready once an event of this type about this sandbox has come, from now on.
  std::future<void> AwaitEvent(std::string type, std::string id) {
    std::shared_ptr<lifecycle::EventSubscription> events = Run(Subscribe(node()));
    return Begin(Follow(std::move(events), std::move(type), "sandboxes/" + id));
  }

  lifecycle::Tally::TenantTally Of(const std::string& tenant) {
    const lifecycle::Tally tally = Run(Take(node()));
    REQUIRE(tally.tenants.count(tenant) == 1);
    return tally.tenants.at(tenant);
  }
  ByteSeconds Charged(const std::string& tenant) { return Of(tenant).charged; }

  std::vector<prometheus::MetricFamily> Families() { return Run(CollectThere(node())); }
  std::string Text() { return Run(ExposeThere(node())); }
  PrometheusText Metrics() {
    const std::string text = Run(ExposeThere(node()));
    const StatusOr<PrometheusText> parsed = ParsePrometheusText(text);
    INFO(text);
    INFO(ToLogString(parsed.status()));
    REQUIRE(parsed.ok());
    return *parsed;
  }

 private:
  using Node = lifecycle::Node;
  static lifecycle::Task<lifecycle::Tally> Take(Node& node) { co_return node.TakeTally(); }
  static lifecycle::Task<std::string> ExposeThere(Node& node) {
    co_return metrics::Expose(node, "9.9");
  }
  static lifecycle::Task<std::vector<prometheus::MetricFamily>> CollectThere(Node& node) {
    co_return metrics::Collect(node, "9.9");
  }
  static lifecycle::Task<std::shared_ptr<lifecycle::EventSubscription>> Subscribe(Node& node) {
    co_return node.Subscribe();
  }
  static lifecycle::Task<void> Follow(std::shared_ptr<lifecycle::EventSubscription> events,
                                      std::string type, std::string subject) {
    for (;;) {
      const StatusOr<Event> event = co_await events->Next();
      if (!event.ok() || (event->type == type && event->subject == subject)) co_return;
    }
  }
};

}  // namespace claw::test
