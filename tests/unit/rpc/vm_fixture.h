#pragma once

#include <string>
#include <utility>
#include <vector>

#include "agent/lifecycle/vms.h"
#include "tests/unit/rpc/service_fixture.h"

namespace claw::test {

// A host of 8 GiB whose guests take sandboxes, although they are emulated.
inline lifecycle::NodeConfig WithVms() {
  lifecycle::NodeConfig config;
  config.allow_emulated = true;
  config.vms.pool = 0;
  return config;
}

// The images "app" (amd64), "arm64-app" and "both-app", and the tenants "house" (trusted) and
// "guest".
class VmFixture : public NodeFixture {
 public:
  explicit VmFixture(lifecycle::NodeConfig config = WithVms()) : NodeFixture(std::move(config)) {
    for (const char* source : {"app", "arm64-app", "both-app"}) {
      const auto images = Run(node().ImportImage(Next(), source, source, "", {}, nullptr));
      INFO(ToLogString(images.status()));
      REQUIRE(images.ok());
    }
    Tenant house;
    house.name = "house";
    house.trust = Trust::kTrusted;
    REQUIRE(Run(node().CreateTenant(Next(), house)).ok());
    Tenant guest;
    guest.name = "guest";
    REQUIRE(Run(node().CreateTenant(Next(), guest)).ok());
  }

  static lifecycle::Call Next() { return {}; }

  static SandboxSpec Spec(const std::string& image, const std::string& tenant = "house") {
    SandboxSpec spec;
    spec.tenant = tenant;
    spec.image = image;
    spec.network.mode = NetworkMode::kNone;
    return spec;
  }
  StatusOr<Sandbox> Create(SandboxSpec spec) {
    return Run(node().CreateSandbox(Next(), std::move(spec), false));
  }
  Sandbox Get(const std::string& id) {
    auto found = Run(GetNow(node(), id));
    REQUIRE(found.ok());
    return *std::move(found);
  }
  bool Has(const std::string& id) { return Run(GetNow(node(), id)).ok(); }
  Sandbox AwaitEnd(const std::string& id) {
    auto ended = Run(node().WaitSandbox(id));
    INFO(ToLogString(ended.status()));
    REQUIRE(ended.ok());
    return *std::move(ended);
  }
  Sandbox AwaitReleased(const std::string& id) {
    auto ended = Run(node().WaitSandbox(id, true));
    REQUIRE(ended.ok());
    return *std::move(ended);
  }
  std::vector<placement::Explanation> Explain(const SandboxSpec& spec) {
    auto explained = Run(ExplainNow(node(), spec));
    INFO(ToLogString(explained.status()));
    REQUIRE(explained.ok());
    return *std::move(explained);
  }

  void Have(const std::string& name, int64_t memory_bytes = kGiB) {
    VmSpec spec;
    spec.name = name;
    spec.memory_bytes = memory_bytes;
    REQUIRE(Run(node().vms().Create(Next(), spec, false)).ok());
    const auto started = Run(node().vms().Start(Next(), name, nullptr));
    INFO(ToLogString(started.status()));
    REQUIRE(started.ok());
  }
  Vm GetVm(const std::string& name) {
    auto view = Run(GetView(node(), name));
    INFO(ToLogString(view.status()));
    REQUIRE(view.ok());
    return view->vm;
  }
  bool HasVm(const std::string& name) { return Run(GetView(node(), name)).ok(); }
  // What really runs in a guest.
  std::vector<std::string> RunningIn(const std::string& name) { return Inside(name)->running(); }
  std::vector<std::string> TracesIn(const std::string& name) { return Inside(name)->ids(); }
  std::shared_ptr<drivers::FakeWorld> Inside(const std::string& name) {
    return vms().With(name, [](auto& machine) { return machine.inside; });
  }
  void Look() { Run(node().vms().Look()); }

 private:
  static lifecycle::Task<StatusOr<Sandbox>> GetNow(lifecycle::Node& node, std::string id) {
    co_return node.GetSandbox(id);
  }
  static lifecycle::Task<StatusOr<lifecycle::VmView>> GetView(lifecycle::Node& node,
                                                              std::string name) {
    co_return node.vms().Get(name);
  }
  static lifecycle::Task<StatusOr<std::vector<placement::Explanation>>> ExplainNow(
      lifecycle::Node& node, SandboxSpec spec) {
    co_return node.Explain(spec);
  }
};

inline std::string ReasonOf(const Status& status) {
  return GetErrorDetail(status).value_or(ErrorDetail{}).reason;
}

}  // namespace claw::test
