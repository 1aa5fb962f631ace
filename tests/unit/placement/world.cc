#include "tests/unit/placement/world.h"

#include <rapidcheck.h>

namespace claw::placement {
namespace {

const budget::OverheadModel& NothingMeasured() {
  static const budget::OverheadModel model;
  return model;
}

Runtime Runc() {
  return {.driver = "runc",
          .isolation = IsolationClass::kContainer,
          .problem = "",
          .version = "1.1",
          .overhead_prior_bytes = 8 * kMiB};
}

Runtime Gvisor() {
  return {.driver = "gvisor",
          .isolation = IsolationClass::kGvisor,
          .problem = "",
          .version = "release-1",
          .platform = "systrap",
          .overhead_prior_bytes = 32 * kMiB};
}

}  // namespace

World::World() {
  platform.architecture = "amd64";
  platform.page_size_bytes = 4096;
  platform.runtimes = {Runc(), Gvisor()};
  target.name = "host";
  target.allocatable_bytes = kGiB;
  target.cpus = 8;
  demand.tenant = {.name = "acme", .trust = Trust::kTrusted};
  demand.spec.tenant = "acme";
  demand.spec.image = "app";
  demand.images["amd64"] = {.digest = kDigest};
  settings.overheads = &NothingMeasured();
}

Target World::Place() const {
  Target placed = target;
  placed.platform = std::make_shared<const Platform>(platform);
  return placed;
}

Sandbox Running(const std::string& id, const std::string& tenant, int64_t bytes) {
  Sandbox sandbox;
  sandbox.id = id;
  sandbox.spec.tenant = tenant;
  sandbox.state = SandboxState::kRunning;
  sandbox.driver = "runc";
  sandbox.resources.memory = budget::Charge(bytes, 0);
  return sandbox;
}

CompatVerdict Verdict(CompatResult result, const std::string& runtime_version) {
  return {.image_digest = kDigest,
          .runtime_version = runtime_version,
          .platform = "systrap",
          .architecture = "amd64",
          .result = result};
}

Sandbox Taken(const std::string& id, const Demand& demand, const Offer& offer) {
  Sandbox sandbox;
  sandbox.id = id;
  sandbox.spec = demand.spec;
  sandbox.state = SandboxState::kReserved;
  sandbox.driver = offer.runtime.driver;
  sandbox.runtime_version = offer.runtime.version;
  sandbox.platform = offer.runtime.platform;
  sandbox.image_digest = offer.image_digest;
  sandbox.resources.memory = offer.memory;
  return sandbox;
}

budget::OverheadModel Measured() {
  const auto used = static_cast<double>(64 * kMiB);
  budget::OverheadModel model;
  for (const char* digest : {kDigest, kArmDigest}) {
    for (const char* architecture : {"amd64", "arm64"}) {
      for (const Runtime& runtime : {Runc(), Gvisor()}) {
        for (int window = 0; window < 100; ++window) {
          model.Add({.image_digest = digest,
                     .driver = runtime.driver,
                     .runtime_version = runtime.version,
                     .platform = runtime.platform,
                     .architecture = architecture,
                     .page_size_bytes = 4096},
                    20 * kMiB, {}, {.weight = 1, .mean_sum = used, .square_sum = used * used});
        }
      }
    }
  }
  return model;
}

namespace {

// Whatever the library's size is, which small numbers follow; shrinks to false.
bool OneIn(int many) {
  return *rc::gen::resize(rc::kNominalSize, rc::gen::inRange(0, many)) == many - 1;
}
std::string AnyTenant() { return *rc::gen::element<std::string>("acme", "globex", "initech"); }
std::string AnyDigest() {
  return *rc::gen::element<std::string>(kDigest, kArmDigest, "sha256:3333");
}

int64_t AnyBytes() {
  return *rc::gen::weightedOneOf<int64_t>(
      {{40, rc::gen::inRange<int64_t>(kMinWorkloadBytes, 512 * kMiB)},
       {1, rc::gen::element(int64_t{1}, kMaxWorkloadBytes, int64_t{1} << 62)}});
}

const budget::BurstModel* AnyBurst() {
  static const budget::BurstModel fresh;
  static const budget::BurstModel watched = [] {
    budget::BurstModel model;
    const std::vector<budget::BurstDemand> demands = {
        {.request_bytes = 64 * kMiB, .limit_bytes = 128 * kMiB, .count = 100}};
    for (int look = 0; look < 1000; ++look) model.Observe(demands, 4 * kGiB);
    return model;
  }();
  return *rc::gen::element<const budget::BurstModel*>(nullptr, &fresh, &watched);
}

std::vector<Status> AnyHolds() {
  std::vector<Status> holds;
  if (OneIn(4)) holds.push_back(absl::OkStatus());
  if (OneIn(30)) holds.push_back(MakeError(StatusCode::kUnavailable, "short", {.reason = "SHORT"}));
  if (OneIn(30)) {
    holds.push_back(MakeError(StatusCode::kResourceExhausted, "capped",
                              {.reason = "SANDBOX_CAP", .constraint = "limits.sandboxes"}));
  }
  return holds;
}

}  // namespace

std::shared_ptr<const Platform> AnyPlatform() {
  Platform platform;
  platform.architecture =
      *rc::gen::weightedElement<std::string>({{8, "amd64"}, {4, "arm64"}, {1, "riscv64"}});
  platform.page_size_bytes = 4096;
  platform.emulated = OneIn(10);
  platform.runtimes = {Runc(), Gvisor()};
  if (OneIn(8)) platform.runtimes.erase(platform.runtimes.begin());
  if (OneIn(8)) platform.runtimes.back().problem = "it is gone";
  if (OneIn(8)) {
    platform.node_class = NodeClass::kHardened;
    if (OneIn(4)) platform.hardening_problem = "no seccomp";
    platform.runtimes.push_back({.driver = "runc",
                                 .isolation = IsolationClass::kLegacyHardened,
                                 .problem = "",
                                 .version = "1.1",
                                 .overhead_prior_bytes = kMiB});
  }
  return std::make_shared<const Platform>(platform);
}

Sandbox AnySandbox(const std::string& id) {
  Sandbox sandbox;
  sandbox.id = id;
  sandbox.spec.tenant = AnyTenant();
  sandbox.spec.cpu_millis = *rc::gen::element<int64_t>(0, 100, 2500);
  sandbox.spec.exclusive = OneIn(50);
  if (OneIn(40)) sandbox.spec.avoid_tenants = {AnyTenant(), AnyTenant()};
  sandbox.state = static_cast<SandboxState>(*rc::gen::inRange(0, 7));
  sandbox.released = IsTerminal(sandbox.state) && OneIn(2);
  sandbox.driver = *rc::gen::element<std::string>("runc", "gvisor");
  sandbox.runtime_version = sandbox.driver == "runc" ? "1.1" : "release-1";
  sandbox.platform = sandbox.driver == "runc" ? "" : "systrap";
  sandbox.image_digest = AnyDigest();
  const int64_t workload = AnyBytes();
  const int64_t request = OneIn(2) ? 0 : workload / *rc::gen::inRange<int64_t>(2, 8);
  const auto overhead = *rc::gen::inRange<int64_t>(0, 40 * kMiB);
  sandbox.resources.memory = budget::Charge(workload, overhead, request);
  return sandbox;
}

Target AnyTarget(const std::string& name) {
  Target target;
  target.name = name;
  target.platform = AnyPlatform();
  if (OneIn(2)) target.labels["zone"] = *rc::gen::element<std::string>("a", "b");
  if (OneIn(8)) target.taints.push_back({.key = "gpu"});
  if (OneIn(8)) target.taints.push_back({.key = "team", .value = "blue"});
  if (OneIn(20)) target.cordoned = "it is repaired";
  target.running = !OneIn(4);
  target.allocatable_bytes = *rc::gen::element(int64_t{kGiB}, 2 * kGiB, 4 * kGiB, int64_t{1} << 62);
  target.other_bytes = *rc::gen::element<int64_t>(0, 0, 100 * kMiB);
  target.cpus = *rc::gen::element<int64_t>(2, 8);
  target.cpu_millis = *rc::gen::element<int64_t>(0, 0, 2000, 9000);
  target.pids = *rc::gen::element<int64_t>(0, 0, 0, 500, 30000);
  target.disk_needed_bytes = *rc::gen::element<int64_t>(0, kGiB);
  target.disk_bytes = OneIn(20) ? 0 : 10 * kGiB;
  for (int i = *rc::gen::inRange(0, 8); i > 0; --i) target.held.Put(AnySandbox(std::to_string(i)));
  target.burst = AnyBurst();
  target.holds = AnyHolds();
  target.driver_holds["gvisor"] = AnyHolds();
  for (int i = 0; i < 2; ++i) {
    if (OneIn(2)) target.images.insert(AnyDigest());
  }
  return target;
}

Demand AnyDemand() {
  Demand demand;
  demand.tenant.name = AnyTenant();
  demand.tenant.trust = OneIn(4) ? Trust::kUntrusted : Trust::kTrusted;
  if (OneIn(6)) {
    demand.tenant.quota = {.sandboxes = *rc::gen::inRange<int64_t>(0, 8),
                           .workload_bytes = *rc::gen::element<int64_t>(0, kGiB),
                           .cpu_millis = *rc::gen::element<int64_t>(0, 3000)};
  }
  SandboxSpec& spec = demand.spec;
  spec.tenant = demand.tenant.name;
  spec.image = "app";
  spec.workload_bytes = AnyBytes();
  if (OneIn(2)) spec.request_bytes = spec.workload_bytes / *rc::gen::inRange<int64_t>(2, 8);
  spec.cpu_millis = *rc::gen::element<int64_t>(0, 100, 2500);
  if (OneIn(12)) spec.isolation = IsolationClass::kGvisor;
  if (OneIn(6)) spec.node_selector["zone"] = "a";
  if (OneIn(2)) spec.tolerations.emplace_back("gpu");
  if (OneIn(2)) spec.tolerations.push_back(*rc::gen::element<std::string>("team=blue", "team=red"));
  if (OneIn(12)) spec.avoid_tenants.push_back(AnyTenant());
  spec.exclusive = OneIn(16);
  for (const auto& [architecture, digest] :
       {std::pair("amd64", kDigest), std::pair("arm64", kArmDigest)}) {
    if (OneIn(10)) continue;
    ImageChoice& image = demand.images[architecture];
    image.digest = digest;
    if (OneIn(4)) continue;
    CompatVerdict verdict = Verdict(*rc::gen::element(
        CompatResult::kCompatible, CompatResult::kDegraded, CompatResult::kIncompatible));
    verdict.image_digest = digest;
    verdict.architecture = architecture;
    image.verdicts.push_back(verdict);
  }
  return demand;
}

Settings AnySettings() {
  static const budget::OverheadModel measured = Measured();
  const auto weight = [] { return *rc::gen::element(0.0, 1.0, 4.0); };
  Settings settings;
  settings.weights = {
      .fit = weight(), .image = weight(), .spread = weight(), .native = weight(), .warm = weight()};
  settings.allow_emulated = !OneIn(3);
  settings.overheads = *rc::gen::element(&NothingMeasured(), &measured);
  return settings;
}

}  // namespace claw::placement
