#include "tests/bench/placement/fleet.h"

#include <algorithm>
#include <array>

#include "agent/base/bytes.h"

namespace claw::bench {
namespace {

constexpr int64_t kPlatforms = 10;
constexpr int64_t kTenants = 1'000;
constexpr int64_t kImages = 50;
constexpr int64_t kMeanSandboxBytes = 300 * kMiB;
constexpr std::array kSizes = {64 * kMiB, 128 * kMiB, 256 * kMiB, 512 * kMiB};

std::shared_ptr<const placement::Platform> MakePlatform(int64_t index) {
  placement::Platform platform;
  platform.architecture = index % 3 == 2 ? "arm64" : "amd64";
  platform.page_size_bytes = 4096;
  platform.emulated = index == kPlatforms - 1;
  platform.runtimes = {{.driver = "runc",
                        .isolation = IsolationClass::kContainer,
                        .problem = "",
                        .version = StrCat("1.1.", index),
                        .overhead_prior_bytes = 8 * kMiB},
                       {.driver = "gvisor",
                        .isolation = IsolationClass::kGvisor,
                        .problem = "",
                        .version = StrCat("release-", index % 2),
                        .platform = "systrap",
                        .overhead_prior_bytes = 32 * kMiB}};
  return std::make_shared<const placement::Platform>(std::move(platform));
}

int64_t Below(Random& random, int64_t end) {
  return static_cast<int64_t>(random.Uniform() * static_cast<double>(end));
}

std::string Tenant(int64_t index) { return StrCat("tenant-", index); }

std::string Digest(int64_t image, const std::string& architecture) {
  return StrCat("sha256:", architecture, "-", image);
}

std::string Zone(Random& random) { return StrCat("zone-", Below(random, 4)); }

placement::ImageChoice MakeImage(int64_t image, const std::string& architecture) {
  placement::ImageChoice choice{.digest = Digest(image, architecture),
                                .family = StrCat("registry/app-", image)};
  for (const char* version : {"release-0", "release-1"}) {
    choice.verdicts.push_back({.image_digest = choice.digest,
                               .runtime_version = version,
                               .platform = "systrap",
                               .architecture = architecture,
                               .result = CompatResult::kCompatible});
  }
  return choice;
}

}  // namespace

Fleet::Fleet(const FleetShape& shape, uint64_t seed) : shape_(shape), random_(seed) {
  settings_.overheads = &overheads_;
  for (int64_t i = 0; i < kPlatforms; ++i) platforms_.push_back(MakePlatform(i));
  for (int64_t i = 0; i < shape_.targets; ++i) table_.Put(MakeTarget(i), settings_);
}

Sandbox Fleet::MakeSandbox() {
  Sandbox sandbox;
  sandbox.id = StrCat("sandbox-", next_id_++);
  sandbox.spec.tenant = Tenant(Below(random_, kTenants));
  sandbox.spec.cpu_millis = 100;
  sandbox.state = SandboxState::kRunning;
  sandbox.driver = "runc";
  sandbox.runtime_version = "1.1.0";
  sandbox.image_digest = Digest(Below(random_, kImages), "amd64");
  const int64_t bytes = kSizes[static_cast<size_t>(Below(random_, std::ssize(kSizes)))];
  sandbox.resources.memory =
      budget::Charge(bytes, 8 * kMiB, random_.Chance(shape_.burstable) ? bytes / 4 : 0);
  return sandbox;
}

placement::Target Fleet::MakeTarget(int64_t index) {
  const auto each = [&](int64_t all) {
    return all / shape_.targets + (index < all % shape_.targets ? 1 : 0);
  };
  placement::Target target;
  target.name = StrCat("nodes/", index);
  target.platform = platforms_[static_cast<size_t>(index % kPlatforms)];
  target.labels["zone"] = Zone(random_);
  if (index % 100 == 0) target.labels[kRareLabel] = "nvme";
  if (random_.Chance(0.05)) target.taints.push_back({.key = "gpu", .value = "yes"});
  // Some are full, some half empty; as large without sandboxes as with them.
  const int64_t room = std::max<int64_t>(10, each(100'000)) * kMeanSandboxBytes;
  target.allocatable_bytes =
      static_cast<int64_t>(random_.Uniform(0.8, 2) * static_cast<double>(room));
  target.cpus = 64;
  target.pids = 1 << 20;
  target.burst = &burst_;
  for (int i = 0; i < 10; ++i) {
    target.images.insert(Digest(Below(random_, kImages), target.platform->architecture));
  }
  for (int64_t i = each(shape_.sandboxes); i > 0; --i) {
    const Sandbox sandbox = MakeSandbox();
    if (target.held.charged_bytes() + ChargedBytes(sandbox.resources.memory) >
        target.allocatable_bytes) {
      break;
    }
    target.held.Put(sandbox);
  }
  if (shape_.one_tenant) {
    Sandbox sandbox = MakeSandbox();
    sandbox.spec.tenant = Tenant(0);
    target.held.Put(sandbox);
  }
  sandboxes_ += static_cast<int64_t>(target.held.size());
  return target;
}

placement::Demand Fleet::NextDemand() {
  placement::Demand demand;
  const int64_t image = Below(random_, kImages);
  demand.tenant.name = Tenant(shape_.one_tenant ? 0 : Below(random_, kTenants));
  demand.tenant.trust = random_.Chance(0.5) ? Trust::kTrusted : Trust::kUntrusted;
  demand.spec.tenant = demand.tenant.name;
  demand.spec.image = StrCat("registry/app-", image);
  demand.spec.workload_bytes = kSizes[static_cast<size_t>(Below(random_, std::ssize(kSizes)))];
  if (random_.Chance(shape_.burstable)) {
    demand.spec.request_bytes = demand.spec.workload_bytes / 4;
  }
  demand.spec.cpu_millis = 100;
  if (random_.Chance(0.3)) demand.spec.node_selector["zone"] = Zone(random_);
  if (random_.Chance(0.1)) demand.spec.tolerations = {"gpu"};
  if (random_.Chance(0.05)) demand.spec.avoid_tenants = {Tenant(Below(random_, kTenants))};
  demand.images["amd64"] = MakeImage(image, "amd64");
  if (random_.Chance(0.7)) demand.images["arm64"] = MakeImage(image, "arm64");
  return demand;
}

Sandbox Fleet::Record(const placement::Demand& demand, const placement::Offer& offer) {
  Sandbox sandbox;
  sandbox.id = StrCat("sandbox-", next_id_++);
  sandbox.spec = demand.spec;
  sandbox.driver = offer.runtime.driver;
  sandbox.runtime_version = offer.runtime.version;
  sandbox.platform = offer.runtime.platform;
  sandbox.image_digest = offer.image_digest;
  sandbox.resources.memory = offer.memory;
  return sandbox;
}

}  // namespace claw::bench
