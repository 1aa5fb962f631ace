#include <algorithm>
#include <tuple>
#include <utility>

#include "agent/base/strings.h"
#include "agent/placement/match.h"
#include "agent/placement/view.h"
#include "agent/policy/network.h"
#include "agent/policy/quota.h"

namespace claw::placement {
namespace {

// Names of constraints; those of tests done elsewhere (quotas, caps, pressure) come with them.
constexpr char kArchitecture[] = "image.architecture";
constexpr char kClass[] = "isolation";
constexpr char kEmulated[] = "placement.allow_emulated";
constexpr char kQuota[] = "tenant.quota";
constexpr char kAlone[] = "exclusive";
constexpr char kApart[] = "avoid_tenants";
constexpr char kLabels[] = "node_selector";
constexpr char kTaints[] = "tolerations";
constexpr char kCordon[] = "node.cordon";
constexpr char kHold[] = "node.hold";
constexpr char kCpus[] = "node.cpus";
constexpr char kCpu[] = "node.cpu_millis";
constexpr char kPids[] = "node.pids";
constexpr char kNetwork[] = "node.network";
constexpr char kMounts[] = "mounts";
constexpr char kDisk[] = "node.disk";
constexpr char kMemory[] = "node.memory.allocatable_bytes";

constexpr auto kSoon = std::chrono::seconds(10);

std::string NameOf(const Status& refusal, const char* otherwise) {
  const std::string name = GetErrorDetail(refusal).value_or(ErrorDetail{}).constraint;
  return name.empty() ? otherwise : name;
}

Status Refuse(const char* reason, const char* constraint, std::string_view message,
              std::string needed, std::string available, bool may_pass = false) {
  ErrorDetail detail{.reason = reason,
                     .constraint = constraint,
                     .needed = std::move(needed),
                     .available = std::move(available)};
  if (may_pass) detail.retry_after = kSoon;
  return MakeError(may_pass ? StatusCode::kResourceExhausted : StatusCode::kFailedPrecondition,
                   message, detail);
}

// The sinks take one constraint after the other. Words are made only when somebody wants them:
// `refuse` says what is wrong, `describe` what there is when nothing is. They answer whether the
// rest is to be asked, too.

struct FirstRefusal {
  Status refusal;
  template <typename Refuse, typename Describe>
  bool Take(const char*, bool met, const Refuse& refuse, const Describe&) {
    if (!met) refusal = refuse();
    return met;
  }
};

struct FirstName {
  std::string_view name;
  template <typename Refuse, typename Describe>
  bool Take(const char* constraint, bool met, const Refuse&, const Describe&) {
    if (!met) name = constraint;
    return met;
  }
};

struct Everything {
  std::vector<Constraint> constraints;
  template <typename Refuse, typename Describe>
  bool Take(const char* name, bool met, const Refuse& refuse, const Describe& describe) {
    Constraint one{.name = name, .met = met};
    if (met) {
      std::tie(one.needed, one.available) = describe();
    } else {
      one.refusal = refuse();
      const ErrorDetail detail = GetErrorDetail(one.refusal).value_or(ErrorDetail{});
      one.name = NameOf(one.refusal, name);
      one.needed = detail.needed;
      one.available = detail.available;
    }
    constraints.push_back(std::move(one));
    return true;
  }
};

using Words = std::pair<std::string, std::string>;  // needed, available

}  // namespace

template <typename Sink>
bool Examiner::ExamineTenant(const Target& target, Sink& sink) {
  const TenantQuota& quota = demand_.tenant.quota;
  if (quota != TenantQuota{}) {
    const Occupancy& counted = target.everywhere == nullptr ? target.held : *target.everywhere;
    const Share* share = counted.Of(demand_.tenant.name);
    policy::QuotaUse used;
    if (share != nullptr) {
      used = {.sandboxes = share->sandboxes,
              .workload_bytes = ClampBytes(share->workload_bytes),
              .cpu_millis = ClampBytes(share->cpu_millis)};
    }
    const Status status = policy::CheckQuota(demand_.tenant, used,
                                             {.sandboxes = 1,
                                              .workload_bytes = demand_.spec.workload_bytes,
                                              .cpu_millis = demand_.spec.cpu_millis});
    const auto words = [&] {
      return Words("one more sandbox", StrCat(used.sandboxes, " of it here"));
    };
    if (!sink.Take(
            kQuota, status.ok(), [&] { return status; }, words))
      return false;
  }
  const std::string other = NotAlone(target, demand_);
  const auto not_alone = [&] {
    return demand_.spec.exclusive
               ? Refuse("NOT_ALONE", kAlone,
                        StrCat("it wants to be alone, and tenant ", other, " has sandboxes here"),
                        "no other tenant", StrCat("tenant ", other), true)
               : Refuse("TAKEN_ALONE", kAlone,
                        StrCat("tenant ", other, " has a sandbox here that wants to be alone"),
                        "no exclusive sandbox of another tenant", StrCat("tenant ", other), true);
  };
  const auto alone = [&] {
    return demand_.spec.exclusive ? Words("no other tenant", "no other tenant")
                                  : Words("not taken by another tenant alone", "it is not");
  };
  if (!sink.Take(kAlone, other.empty(), not_alone, alone)) return false;
  const std::string away = AwayFrom(target, demand_);
  const auto together = [&] {
    return Refuse("TENANTS_APART", kApart,
                  StrCat("tenants ", demand_.tenant.name, " and ", away,
                         " are to be kept apart, and ", away, " has sandboxes here"),
                  StrCat("nothing of tenant ", away), StrCat("tenant ", away), true);
  };
  const auto apart = [&] {
    const std::vector<std::string>& avoided = demand_.spec.avoid_tenants;
    return Words(avoided.empty() ? "nobody avoids it" : StrCat("without ", Join(avoided, ", ")),
                 "so it is");
  };
  return sink.Take(kApart, away.empty(), together, apart);
}

template <typename Sink>
bool Examiner::ExaminePlace(const Target& target, Sink& sink) {
  const SandboxSpec& spec = demand_.spec;
  const auto unlike = [&] {
    return Refuse("LABELS_DIFFER", kLabels,
                  StrCat(target.name, " does not have the labels ", ToText(spec.node_selector)),
                  ToText(spec.node_selector), ToText(target.labels));
  };
  const auto like = [&] { return Words(ToText(spec.node_selector), ToText(target.labels)); };
  if (!sink.Take(kLabels, HasLabels(target, spec.node_selector), unlike, like)) return false;
  const Taint* taint = Intolerable(target, spec.tolerations);
  const auto tainted = [&] {
    return Refuse("NOT_TOLERATED", kTaints,
                  StrCat(target.name, " has the taint ", ToText(*taint),
                         ", which the sandbox does not tolerate"),
                  StrCat("a toleration of ", ToText(*taint)),
                  spec.tolerations.empty() ? "none" : Join(spec.tolerations, ", "));
  };
  const auto tolerated = [&] {
    return Words(spec.tolerations.empty() ? "no taints" : Join(spec.tolerations, ", "),
                 target.taints.empty() ? "no taints" : "taints that are tolerated");
  };
  if (!sink.Take(kTaints, taint == nullptr, tainted, tolerated)) return false;
  const auto cordoned = [&] {
    return Refuse("CORDONED", kCordon, StrCat(target.name, " is cordoned: ", target.cordoned),
                  "a target that takes new work", target.cordoned, true);
  };
  const auto open = [] { return Words("takes new work", "takes new work"); };
  if (!sink.Take(kCordon, target.cordoned.empty(), cordoned, open)) return false;
  const auto fine = [] { return Words("nothing holds it back", "nothing does"); };
  for (const Status& hold : target.holds) {
    if (!sink.Take(
            kHold, hold.ok(), [&] { return hold; }, fine))
      return false;
  }
  if (spec.mounts.empty()) return true;
  const auto reached = [] { return Words("folders of the host", "within its reach"); };
  return sink.Take(
      kMounts, target.mount_hold.ok(), [&] { return target.mount_hold; }, reached);
}

template <typename Sink>
bool Examiner::ExamineNetwork(const Target& target, const View& view, Sink& sink) {
  if (demand_.network == NetworkMode::kNone) return true;
  const Status allowed =
      policy::CheckNetwork(demand_.network, view.runtime->isolation, demand_.network_policies);
  const auto listed = [&] {
    return Words("policies fit for its class",
                 StrCat(demand_.network_policies.size(), " policies"));
  };
  if (!sink.Take(
          kNetwork, allowed.ok(), [&] { return allowed; }, listed))
    return false;
  const auto there = [] { return Words("an address and rules", "there is one more"); };
  return sink.Take(
      kNetwork, target.network_hold.ok(), [&] { return target.network_hold; }, there);
}

template <typename Sink>
bool Examiner::ExamineRoom(const Target& target, const View& view, Sink& sink) {
  const SandboxSpec& spec = demand_.spec;
  const auto too_wide = [&] {
    return Refuse("CPU_EXHAUSTED", kCpus,
                  StrCat("a ceiling of ", spec.cpu_millis, " thousandths of a CPU is more than ",
                         target.name, " has"),
                  StrCat(spec.cpu_millis, " millis"), StrCat(target.cpus * 1000, " millis"));
  };
  const auto wide = [&] {
    return Words(StrCat(spec.cpu_millis, " millis"), StrCat(target.cpus * 1000, " millis"));
  };
  if (!sink.Take(kCpus, spec.cpu_millis <= target.cpus * 1000, too_wide, wide)) return false;
  if (target.cpu_millis > 0) {
    const int64_t left =
        std::max<int64_t>(0, SaturatingSub(target.cpu_millis, target.held.cpu_millis()));
    const auto words = [&] {
      return Words(StrCat(spec.cpu_millis, " millis"), StrCat(left, " millis"));
    };
    const auto taken = [&] {
      const Words both = words();
      return Refuse("CPU_EXHAUSTED", kCpu, "the ceilings of all sandboxes leave too little CPU",
                    both.first, both.second, spec.cpu_millis <= target.cpu_millis);
    };
    if (!sink.Take(kCpu, spec.cpu_millis <= left, taken, words)) return false;
  }
  if (target.pids > 0) {
    const auto words = [&] {
      return Words(StrCat(spec.pids_max, " tasks"), StrCat(target.pids, " tasks"));
    };
    const auto few = [&] {
      const Words both = words();
      return Refuse("PIDS_EXHAUSTED", kPids, "the kernel has no room for so many tasks", both.first,
                    both.second, true);
    };
    if (!sink.Take(kPids, spec.pids_max <= target.pids, few, words)) return false;
  }
  if (target.disk_needed_bytes > 0) {
    const auto words = [&] {
      return Words(StrCat(target.disk_needed_bytes, " bytes"), StrCat(target.disk_bytes, " bytes"));
    };
    const auto full = [&] {
      const Words both = words();
      return Refuse("DISK_EXHAUSTED", kDisk,
                    StrCat("too little disk is free for another sandbox: remove images with "
                           "`clawctl node image gc`, or make room"),
                    both.first, both.second, true);
    };
    if (!sink.Take(kDisk, target.disk_needed_bytes <= target.disk_bytes, full, words)) {
      return false;
    }
  }
  const budget::BurstModel nobody_watched;
  const budget::BurstModel& burst = target.burst != nullptr ? *target.burst : nobody_watched;
  const budget::Holdings holdings = HoldingsOf(target, settings_);
  const std::string& group = view.image->digest;
  const auto no_room = [&] {
    return budget::Admit(target.allocatable_bytes, holdings, burst, view.memory, group, view.seen);
  };
  const auto room = [&] {
    const int64_t left = std::max<int64_t>(
        0, SaturatingSub(target.allocatable_bytes, budget::RequiredBytes(holdings, burst)));
    return Words(StrCat(ChargedBytes(view.memory), " bytes"), StrCat(left, " bytes"));
  };
  const bool fits =
      budget::Fits(target.allocatable_bytes, holdings, burst, view.memory, group, view.seen);
  return sink.Take(kMemory, fits, no_room, room);
}

template <typename Sink>
bool Examiner::Examine(const Target& target, Sink& sink) {
  const Platform& platform = *target.platform;
  std::optional<View> own;
  const View* view = &ViewOf(target, own);
  const auto foreign = [&] {
    std::vector<std::string> there;
    for (const auto& [architecture, image] : demand_.images) there.push_back(architecture);
    return Refuse("ARCHITECTURE_MISMATCH", kArchitecture,
                  StrCat("image ", demand_.spec.image, " is for ",
                         there.empty() ? "no known architecture" : Join(there, ", "), ", ",
                         target.name, " is ", platform.architecture),
                  there.empty() ? "unknown" : Join(there, ", "), platform.architecture);
  };
  const auto native = [&] { return Words(platform.architecture, platform.architecture); };
  const bool has_image = view->image != nullptr;
  if (!sink.Take(kArchitecture, has_image, foreign, native)) return false;
  const auto slow = [&] {
    return Refuse("EMULATED", kEmulated,
                  StrCat(target.name,
                         " emulates its processor, and the config gives such targets "
                         "no work"),
                  "a native target", "an emulated one");
  };
  const auto quick = [&] {
    return Words("a native target", platform.emulated ? "emulated, as allowed" : "native");
  };
  const bool fast = !platform.emulated || settings_.allow_emulated;
  if (!sink.Take(kEmulated, fast, slow, quick)) return false;
  if (has_image) {
    const auto given = [&] {
      const std::string name(ToString(*view->decision.isolation));
      return Words(name, StrCat(name, ", ", view->runtime->driver, " ", view->runtime->version));
    };
    if (!sink.Take(
            kClass, view->refusal.ok(), [&] { return view->refusal; }, given))
      return false;
  }
  const bool has_class = view->runtime != nullptr;
  if (!ExamineTenant(target, sink) || !ExaminePlace(target, sink)) return has_class;
  if (!has_class) return false;  // only to explain: nobody knows what it would need
  const auto fine = [] { return Words("nothing holds it back", "nothing does"); };
  if (const auto holds = target.driver_holds.find(view->runtime->driver);
      holds != target.driver_holds.end()) {
    for (const Status& hold : holds->second) {
      if (!sink.Take(
              kHold, hold.ok(), [&] { return hold; }, fine))
        return true;
    }
  }
  if (!ExamineNetwork(target, *view, sink)) return true;
  ExamineRoom(target, *view, sink);
  return true;
}

Offer Examiner::OfferOf(const View& view) const {
  return {.decision = view.decision,
          .runtime = *view.runtime,
          .image_digest = view.image->digest,
          .memory = view.memory};
}

StatusOr<Offer> Examiner::Ask(const Target& target) {
  FirstRefusal sink;
  Examine(target, sink);
  RETURN_IF_ERROR(sink.refusal);
  return OfferOf(On(target.platform));
}

std::string_view Examiner::Obstacle(const Target& target) {
  FirstName sink;
  Examine(target, sink);
  return sink.name;
}

Explanation Examiner::Explain(const Target& target) {
  Everything sink;
  const bool has_class = Examine(target, sink);
  Explanation explanation{.target = target.name, .constraints = std::move(sink.constraints)};
  explanation.fits = std::all_of(explanation.constraints.begin(), explanation.constraints.end(),
                                 [](const Constraint& one) { return one.met; });
  if (has_class) explanation.offer = OfferOf(On(target.platform));
  const Share* share = target.held.Of(demand_.tenant.name);
  explanation.score =
      RateTarget(target, RequiredBytes(target, settings_), share == nullptr ? 0 : share->sandboxes);
  return explanation;
}

}  // namespace claw::placement
