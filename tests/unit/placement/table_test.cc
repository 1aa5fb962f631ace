#include "agent/placement/table.h"

#include <rapidcheck/catch.h>
#include <catch2/catch.hpp>
#include <set>

#include "tests/unit/placement/world.h"

namespace claw::placement {
namespace {

Target Named(const World& world, const std::string& name) {
  Target target = world.Place();
  target.name = name;
  return target;
}

int64_t OfTenant(const Target& target, const Demand& demand) {
  const Share* share = target.held.Of(demand.tenant.name);
  return share == nullptr ? 0 : share->sandboxes;
}

using Targets = std::map<std::string, Target>;

// Random puts, replacements and drops; what is left, kept beside the table.
Targets Fill(Table& table, const Settings& settings) {
  Targets targets;
  for (int step = *rc::gen::inRange(1, 24); step > 0; --step) {
    const std::string name = StrCat("nodes/", *rc::gen::inRange(0, 8));
    const auto known = targets.find(name);
    const int what = *rc::gen::inRange(0, 5);
    if (what == 0) {
      table.Drop(name);
      targets.erase(name);
    } else if (what == 1) {
      const Sandbox sandbox = AnySandbox(std::to_string(*rc::gen::inRange(0, 8)));
      table.PutSandbox(name, sandbox, settings);
      if (known != targets.end()) known->second.held.Put(sandbox);
    } else if (what == 2) {
      const std::string id = std::to_string(*rc::gen::inRange(0, 8));
      table.DropSandbox(name, id, settings);
      if (known != targets.end()) known->second.held.Drop(id);
    } else {
      const Target target = AnyTarget(name);
      table.Put(target, settings);
      targets.insert_or_assign(name, target);
    }
  }
  return targets;
}

void CheckRefusal(const Status& refusal, const Targets& targets, Examiner& examiner) {
  if (targets.empty()) {
    RC_ASSERT(GetErrorDetail(refusal)->reason == "NO_TARGET");
    return;
  }
  std::map<std::string, int> counts;
  for (const auto& [name, target] : targets) ++counts[std::string(examiner.Obstacle(target))];
  int most = 0;
  for (const auto& [obstacle, count] : counts) {
    most = std::max(most, count);
    if (targets.size() == 1) continue;
    RC_ASSERT(refusal.message().find(ToAbsl(StrCat(obstacle, " on ", count))) !=
              absl::string_view::npos);
  }
  // One of those in whose way the commonest obstacle stands speaks for them.
  RC_ASSERT(std::any_of(targets.begin(), targets.end(), [&](const auto& one) {
    const Status own = examiner.Ask(one.second).status();
    return counts.at(std::string(examiner.Obstacle(one.second))) == most &&
           own.code() == refusal.code() && GetErrorDetail(own) == GetErrorDetail(refusal);
  }));
}

TEST_CASE("a table chooses the best of what fits, as asking every target would") {
  rc::prop("any targets and demand", [] {
    const Settings settings = AnySettings();
    Table table;
    const Targets targets = Fill(table, settings);
    RC_ASSERT(table.size() == targets.size());
    for (int i = 0; i < 3; ++i) {
      const Demand demand = AnyDemand();
      Examiner examiner(demand, settings);
      std::optional<double> best;
      for (const auto& [name, target] : targets) {
        if (!examiner.Ask(target).ok()) continue;
        const double score =
            examiner.RateTarget(target, RequiredBytes(target, settings), OfTenant(target, demand))
                .total;
        best = std::max(best.value_or(score), score);
      }
      const auto choice = table.Choose(demand, settings);
      RC_CLASSIFY(choice.ok());
      RC_ASSERT(choice.ok() == best.has_value());
      if (!choice.ok()) {
        CheckRefusal(choice.status(), targets, examiner);
        continue;
      }
      RC_ASSERT(choice->score.total == *best);
      const Target& chosen = targets.at(choice->target->name);
      const auto offer = examiner.Ask(chosen);
      RC_ASSERT(offer.ok());
      RC_ASSERT(choice->offer.image_digest == offer->image_digest);
      RC_ASSERT(choice->offer.memory == offer->memory);
    }
  });
}

TEST_CASE("a table explains every target, those that fit first and the best before the others") {
  rc::prop("explain", [] {
    const Settings settings = AnySettings();
    Table table;
    const Targets targets = Fill(table, settings);
    const Demand demand = AnyDemand();
    const std::vector<Explanation> all = table.Explain(demand, settings);
    RC_ASSERT(all.size() == targets.size());
    Examiner examiner(demand, settings);
    for (size_t i = 0; i < all.size(); ++i) {
      RC_ASSERT(all[i].fits == examiner.Ask(targets.at(all[i].target)).ok());
      if (i == 0) continue;
      RC_ASSERT(all[i - 1].fits >= all[i].fits);
      if (all[i - 1].fits == all[i].fits) {
        RC_ASSERT(all[i - 1].score.total >= all[i].score.total);
      }
    }
    RC_ASSERT(table.Explain(demand, settings, 2).size() == std::min<size_t>(2, all.size()));
    const auto choice = table.Choose(demand, settings);
    if (choice.ok()) RC_ASSERT(choice->score.total == all.front().score.total);
  });
}

TEST_CASE("a table without targets, and one with a single target, say what is wrong") {
  World world;
  Table table;
  CHECK(GetErrorDetail(table.Choose(world.demand, world.settings).status())->reason == "NO_TARGET");
  world.target.cordoned = "it is repaired";
  table.Put(world.Place(), world.settings);
  const Status own = Examiner(world.demand, world.settings).Ask(world.Place()).status();
  CHECK(table.Choose(world.demand, world.settings).status() == own);
}

TEST_CASE("a refusal counts what stands in the way of how many") {
  World world;
  Table table;
  table.Put(Named(world, "nodes/small"), world.settings);
  world.target.cordoned = "it is repaired";
  table.Put(Named(world, "nodes/1"), world.settings);
  table.Put(Named(world, "nodes/2"), world.settings);
  world.demand.spec.workload_bytes = 4 * kGiB;
  const Status refusal = table.Choose(world.demand, world.settings).status();
  CHECK(GetErrorDetail(refusal)->constraint == "node.cordon");
  CHECK(refusal.message() ==
        "none of 3 targets takes it (in the way: node.cordon on 2, node.memory.allocatable_bytes "
        "on 1); nodes/1: nodes/1 is cordoned: it is repaired");
}

TEST_CASE("the name is the key: put replaces, drop removes, and slots are used again") {
  World world;
  Table table;
  table.Put(Named(world, "nodes/a"), world.settings);
  table.Put(Named(world, "nodes/b"), world.settings);
  const auto chosen = [&] {
    return table.Choose(world.demand, world.settings).value().target->name;
  };
  CHECK(chosen() == "nodes/a");
  CHECK(table.Find("nodes/c") == nullptr);
  Target full = Named(world, "nodes/a");
  full.allocatable_bytes = 0;
  table.Put(full, world.settings);
  CHECK(table.size() == 2);
  CHECK(table.Find("nodes/a")->allocatable_bytes == 0);
  CHECK(chosen() == "nodes/b");
  table.Drop("nodes/a");
  table.Drop("nodes/never");
  CHECK(table.size() == 1);
  CHECK(table.Find("nodes/a") == nullptr);
  // Among equals the lowest slot wins, so this shows that the first is used again.
  table.Put(Named(world, "nodes/c"), world.settings);
  CHECK(chosen() == "nodes/c");
  CHECK(table.size() == 2);
}

TEST_CASE("what a target no longer has does not count for the next one in its slot") {
  World world;
  world.settings.weights = {.fit = 0, .image = 1, .spread = 3, .native = 0, .warm = 0};
  Table table;
  Target first = Named(world, "nodes/a");
  first.images = {kDigest};
  for (const char* id : {"1", "2"}) first.held.Put(Running(id, "acme"));
  table.Put(first, world.settings);
  table.Put(Named(world, "nodes/b"), world.settings);
  CHECK(table.Choose(world.demand, world.settings)->target->name == "nodes/b");
  table.DropSandbox("nodes/a", "1", world.settings);
  CHECK(table.Choose(world.demand, world.settings)->score.total == Approx(0.75));
  // The same id, but another tenant's.
  table.PutSandbox("nodes/a", Running("2", "globex"), world.settings);
  CHECK(table.Choose(world.demand, world.settings)->score.total == Approx(1));
  first.held.Drop("1");
  table.Put(first, world.settings);
  CHECK(table.Choose(world.demand, world.settings)->score.total == Approx(0.75));
  first.held.Drop("2");
  table.Put(first, world.settings);
  CHECK(table.Choose(world.demand, world.settings)->score.total == Approx(1));
  table.Drop("nodes/a");
  table.Put(Named(world, "nodes/c"), world.settings);
  CHECK(table.Choose(world.demand, world.settings)->score.total == Approx(0.75));
}

TEST_CASE("behind many that would be better and do not fit, the best that fits is found") {
  World world;
  world.settings.weights = {.fit = 0, .image = 0, .spread = 1, .native = 0, .warm = 0};
  Table table;
  const int64_t sandboxes[] = {4, 2, 3, 2};
  for (size_t i = 0; i < std::size(sandboxes); ++i) {
    Target target = Named(world, StrCat("nodes/open", i));
    for (int64_t one = 0; one < sandboxes[i]; ++one) {
      target.held.Put(Running(StrCat(one), "acme"));
    }
    table.Put(target, world.settings);
  }
  for (int i = 0; i < 40; ++i) {
    Target target = Named(world, StrCat("nodes/closed", i));
    target.cordoned = "it is repaired";
    table.Put(target, world.settings);
  }
  CHECK(table.Choose(world.demand, world.settings)->target->name == "nodes/open1");
  world.demand.spec.pids_max = kMaxPidsMax;
  for (size_t i = 0; i < std::size(sandboxes); ++i) {
    const std::string name = StrCat("nodes/open", i);
    Target target = *table.Find(name);
    target.pids = 1000;
    table.Put(target, world.settings);
  }
  const Status refusal = table.Choose(world.demand, world.settings).status();
  CHECK(refusal.message().find("none of 44 targets takes it (in the way: node.cordon on 40, "
                               "node.pids on 4)") != absl::string_view::npos);
}

TEST_CASE("a target that is too full for a charge may still be the best for a burstable sandbox") {
  const budget::OverheadModel measured = Measured();
  World world;
  world.settings.overheads = &measured;
  world.settings.weights = {.fit = 1, .image = 0, .spread = 0, .native = 0, .warm = 0};
  world.demand.spec.workload_bytes = 512 * kMiB;
  world.demand.spec.request_bytes = 400 * kMiB;
  Target full = Named(world, "nodes/full");
  for (int i = 0; i < 22; ++i) {
    Sandbox unknown = Running(std::to_string(i), "globex");
    unknown.image_digest = StrCat("sha256:unknown", i);
    unknown.resources.memory = budget::Charge(512 * kMiB, 0, 64 * kMiB);
    full.held.Put(unknown);
  }
  full.allocatable_bytes = RequiredBytes(full, world.settings) + 300 * kMiB;
  Examiner examiner(world.demand, world.settings);
  // It uses less than is set aside for it, so it takes less than its charge.
  REQUIRE(examiner.Ask(full).ok());
  REQUIRE(RequiredBytes(full, world.settings) + ChargedBytes(examiner.MemoryOn(full.platform)) >
          full.allocatable_bytes);
  Table table;
  Target empty = Named(world, "nodes/empty");
  empty.allocatable_bytes = full.allocatable_bytes;
  table.Put(empty, world.settings);
  table.Put(full, world.settings);
  CHECK(table.Choose(world.demand, world.settings)->target->name == "nodes/full");
}

TEST_CASE("an image of another architecture is no reason to choose a target") {
  World world;
  world.demand.images["arm64"] = {.digest = kArmDigest};
  world.settings.weights = {.fit = 0, .image = 1, .spread = 1, .native = 0, .warm = 0};
  Table table;
  Target wrong = Named(world, "nodes/a");
  wrong.images = {kArmDigest};
  table.Put(wrong, world.settings);
  Target right = Named(world, "nodes/b");
  right.images = {kDigest};
  table.Put(right, world.settings);
  const auto choice = table.Choose(world.demand, world.settings);
  REQUIRE(choice.ok());
  CHECK(choice->target->name == "nodes/b");
  CHECK(choice->score.image == 1);
}

TEST_CASE("targets whose platforms are alike share one") {
  World world;
  Table table;
  table.Put(Named(world, "nodes/a"), world.settings);
  table.Put(Named(world, "nodes/b"), world.settings);
  CHECK(table.Find("nodes/a")->platform == table.Find("nodes/b")->platform);
  world.platform.architecture = "arm64";
  table.Put(Named(world, "nodes/a"), world.settings);
  CHECK(table.Find("nodes/a")->platform->architecture == "arm64");
  CHECK(table.Find("nodes/b")->platform->architecture == "amd64");
  CHECK(table.Choose(world.demand, world.settings)->target->name == "nodes/b");
}

}  // namespace
}  // namespace claw::placement
