#include <algorithm>
#include <utility>

#include "agent/base/strings.h"
#include "agent/placement/view.h"
#include "agent/policy/compat.h"

namespace claw::placement {

Examiner::Examiner(const Demand& demand, Settings settings)
    : demand_(demand), settings_(std::move(settings)) {}
Examiner::~Examiner() = default;

namespace {

SandboxClass ClassOn(const Platform& platform, const Runtime& runtime, const std::string& digest,
                     const std::string& family) {
  return {.image_digest = digest,
          .image_family = family,
          .driver = runtime.driver,
          .runtime_version = runtime.version,
          .platform = runtime.platform,
          .architecture = platform.architecture,
          .page_size_bytes = platform.page_size_bytes};
}

std::string ProblemOf(const Platform& platform, IsolationClass isolation) {
  const Runtime* runtime = platform.Of(isolation);
  if (runtime == nullptr) return "this node has no driver for it";
  if (runtime->problem.empty()) return "";
  return StrCat("driver ", runtime->driver, ": ", runtime->problem);
}

policy::Decision DecideOn(const Platform& platform, const Demand& demand, const ImageChoice& image,
                          const std::string& other_tenant, const policy::Rules& rules, Time now) {
  policy::IsolationInput input;
  input.trust = demand.tenant.trust;
  input.wanted = demand.spec.isolation;
  input.image = demand.spec.image;
  input.image_digest = image.digest;
  input.signers = image.signers;
  input.allowed_images = demand.tenant.allowed_images;
  // Without a gVisor that works nothing is known about how an image would fare under it.
  const Runtime* gvisor = platform.Of(IsolationClass::kGvisor);
  if (gvisor != nullptr && gvisor->problem.empty()) {
    input.compat =
        policy::StatusOf(image.verdicts, gvisor->version, gvisor->platform, platform.architecture);
  }
  input.compat_override = image.compat_override;
  input.now = now;
  input.runtimes = {.container = ProblemOf(platform, IsolationClass::kContainer),
                    .gvisor = ProblemOf(platform, IsolationClass::kGvisor),
                    .legacy_hardened = ProblemOf(platform, IsolationClass::kLegacyHardened)};
  input.node_class = platform.node_class;
  if (platform.node_class == NodeClass::kHardened) {
    input.hardening_problem = platform.hardening_problem;
    input.other_tenant = other_tenant;
  }
  input.has_mounts = !demand.spec.mounts.empty();
  return policy::DecideIsolation(input, rules);
}

}  // namespace

const Runtime* Platform::Of(IsolationClass isolation) const {
  const auto it = std::find_if(runtimes.begin(), runtimes.end(), [isolation](const Runtime& one) {
    return one.isolation == isolation;
  });
  return it == runtimes.end() ? nullptr : &*it;
}

Examiner::View Examiner::Judge(const Platform& platform, const std::string& other_tenant) const {
  View view;
  const auto image = demand_.images.find(platform.architecture);
  if (image == demand_.images.end()) return view;
  view.image = &image->second;
  view.decision =
      DecideOn(platform, demand_, *view.image, other_tenant, settings_.policy, settings_.now);
  view.refusal = policy::ToStatus(view.decision);
  if (!view.refusal.ok()) return view;
  view.runtime = platform.Of(*view.decision.isolation);
  if (view.runtime == nullptr) {
    view.refusal = Internal("no driver of class ", ToString(*view.decision.isolation));
    return view;
  }
  const SandboxClass sandboxes =
      ClassOn(platform, *view.runtime, view.image->digest, view.image->family);
  if (demand_.memory) {
    view.memory = *demand_.memory;
  } else {
    const budget::OverheadEstimate overhead =
        settings_.overheads->Estimate(sandboxes, view.runtime->overhead_prior_bytes, settings_.now);
    view.memory =
        budget::Charge(demand_.spec.workload_bytes, overhead.bytes, demand_.spec.request_bytes);
  }
  if (!IsGuaranteed(view.memory)) view.seen = settings_.overheads->Usage(sandboxes, settings_.now);
  return view;
}

const Examiner::View& Examiner::On(const std::shared_ptr<const Platform>& platform) {
  // Targets of one platform often come one after the other.
  if (platform.get() == last_platform_) return *last_view_;
  std::unique_ptr<View>& view = views_[platform];
  if (view == nullptr) view = std::make_unique<View>(Judge(*platform, {}));
  last_platform_ = platform.get();
  last_view_ = view.get();
  return *view;
}

const Examiner::View& Examiner::ViewOf(const Target& target, std::optional<View>& own) {
  // A hardened node takes one tenant at a time.
  if (target.platform->node_class != NodeClass::kHardened) return On(target.platform);
  const std::string other = target.held.OtherThan(demand_.tenant.name);
  if (other.empty()) return On(target.platform);
  return own.emplace(Judge(*target.platform, other));
}

policy::Decision Examiner::Decide(const Target& target) {
  std::optional<View> own;
  return ViewOf(target, own).decision;
}

budget::Holdings HoldingsOf(const Target& target, const Settings& settings) {
  budget::Holdings holdings;
  holdings.fixed_bytes = SaturatingAdd(target.held.guaranteed_bytes(), target.other_bytes);
  for (const auto& [group, held] : target.held.burstable()) {
    const SandboxClass sandboxes = ClassOn(
        *target.platform,
        {.driver = group.driver, .version = group.runtime_version, .platform = group.platform},
        group.image_digest, {});
    holdings.burst_overhead_bytes =
        SaturatingAdd(holdings.burst_overhead_bytes, ClampBytes(held.overhead_bytes));
    holdings.burstable.push_back({.group = group.image_digest,
                                  .request_bytes = group.request_bytes,
                                  .limit_bytes = group.limit_bytes,
                                  .seen = settings.overheads->Usage(sandboxes, settings.now),
                                  .count = held.count});
  }
  return holdings;
}

int64_t RequiredBytes(const Target& target, const Settings& settings) {
  const budget::BurstModel nobody_watched;
  return budget::RequiredBytes(HoldingsOf(target, settings),
                               target.burst != nullptr ? *target.burst : nobody_watched);
}

Memory Examiner::MemoryOn(const std::shared_ptr<const Platform>& platform) {
  return On(platform).memory;
}

Score Examiner::RateTarget(const Target& target, int64_t required_bytes, int64_t of_tenant) {
  const View& view = On(target.platform);
  const int64_t after = SaturatingAdd(required_bytes, ChargedBytes(view.memory));
  const bool has_image = view.image != nullptr && target.images.count(view.image->digest) > 0;
  return Rate({.allocatable_bytes = target.allocatable_bytes,
               .residual_bytes = SaturatingSub(target.allocatable_bytes, after),
               .has_image = has_image,
               .of_tenant = of_tenant,
               .emulated = target.platform->emulated,
               .running = target.running},
              settings_.weights);
}

}  // namespace claw::placement
