// tools/bench budget-sim: the node's own admission code on synthetic traces, beside other policies.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "agent/base/bytes.h"
#include "agent/base/strings.h"
#include "tests/bench/budget_sim/table.h"

namespace claw::bench {
namespace {

struct Settings {
  std::vector<std::string> shapes{};  // empty: all
  std::vector<std::string> policies{};
  std::vector<std::string> nodes = {"24Gi", "64Gi"};
  int64_t seeds = 1;
  int64_t first_seed = 1;
  double hours = 4;
  double warm_up_minutes = 30;
  budget::BurstRules rules{};
  bool json = false;
  bool list_shapes = false;
};

bool Wanted(const std::vector<std::string>& names, const std::string& name) {
  return names.empty() || std::find(names.begin(), names.end(), name) != names.end();
}

void ListShapes() {
  const std::vector<Shape> shapes = AllShapes();
  for (const Shape& shape : shapes) {
    std::printf("%-14s %-9s %s\n", shape.name.c_str(), shape.tuning ? "tuning" : "held out",
                shape.about.c_str());
  }
  std::printf("\n");
  const std::vector<std::string> names = PolicyNames();
  for (const std::string& name : names) {
    std::printf("%-14s %-9s %s\n", name.c_str(), "policy", AboutPolicy(name).c_str());
  }
}

Outcome RunSeeds(const Settings& settings, const Shape& shape, const std::string& policy_name,
                 int64_t capacity_bytes) {
  const auto steps = static_cast<int64_t>(settings.hours * 3600 * kStepsPerSecond);
  const auto warm_up = static_cast<int64_t>(settings.warm_up_minutes * 60 * kStepsPerSecond);
  const NodeSetup setup{.capacity_bytes = capacity_bytes,
                        .steps = steps,
                        .warm_up_steps = std::min(warm_up, steps / 2)};
  Outcome sum;
  for (int64_t seed = settings.first_seed; seed < settings.first_seed + settings.seeds; ++seed) {
    const Workload workload(shape, static_cast<uint64_t>(seed), steps);
    const std::unique_ptr<Policy> policy = MakePolicy(policy_name, shape, settings.rules);
    sum.Add(Simulate(setup, workload, *policy));
  }
  return sum;
}

std::vector<Result> RunAll(const Settings& settings) {
  std::vector<Result> results;
  const std::vector<Shape> shapes = AllShapes();
  const std::vector<std::string> names = PolicyNames();
  for (const Shape& shape : shapes) {
    if (!Wanted(settings.shapes, shape.name)) continue;
    for (const std::string& node : settings.nodes) {
      std::fprintf(stderr, "… %s, %s\n", shape.name.c_str(), node.c_str());
      double oracle = 0;
      for (const std::string& name : names) {
        if (!Wanted(settings.policies, name)) continue;
        Result result{.shape = shape.name,
                      .tuning = shape.tuning,
                      .capacity_bytes = ParseBytes(node).value(),
                      .policy = name};
        result.outcome = RunSeeds(settings, shape, name, result.capacity_bytes);
        if (name == "oracle") oracle = result.outcome.running();
        if (oracle > 0) result.of_oracle = result.outcome.running() / oracle;
        results.push_back(std::move(result));
      }
    }
  }
  return results;
}

void AddOptions(CLI::App& app, Settings& settings) {
  app.add_flag("--json", settings.json, "print JSON");
  app.add_flag("--list-shapes", settings.list_shapes, "list shapes and policies");
  app.add_option("--shapes", settings.shapes, "only these")->delimiter(',');
  app.add_option("--policies", settings.policies, "only these")->delimiter(',');
  app.add_option("--nodes", settings.nodes, "memory of the nodes (24Gi,64Gi)")->delimiter(',');
  app.add_option("--seeds", settings.seeds, "runs of each, with seeds of their own")
      ->check(CLI::Range(1, 1000));
  app.add_option("--first-seed", settings.first_seed, "the first of them");
  app.add_option("--hours", settings.hours, "virtual hours of each run")
      ->check(CLI::Range(0.1, 1000.0));
  app.add_option("--warm-up-minutes", settings.warm_up_minutes,
                 "at the start of each run that do not count for density (at most half of it)")
      ->check(CLI::Range(0.0, 10000.0));
  budget::BurstRules& rules = settings.rules;
  app.add_option("--epsilon", rules.epsilon, "target")->check(CLI::Range(1e-9, 0.5));
  app.add_option("--correlation", rules.correlation, "clawlet's rho")->check(CLI::Range(0.0, 1.0));
  app.add_option("--burst-share", rules.burst_share, "clawlet's share that bursts at once")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--burst-rate", rules.burst_bytes_per_second, "clawlet's bytes a second");
  app.add_option("--full-trust", rules.full_trust, "clawlet's windows that count as its guess");
  app.add_option("--gamma", rules.gamma, "how far a miss moves clawlet's epsilon");
  app.add_option("--trust-looks", rules.trust_looks, "looks that count as much as clawlet's bound");
  app.add_option("--epsilon-range", rules.epsilon_range, "how far it may move, as a factor");
}

int Main(int argc, char** argv) {
  Settings settings;
  CLI::App app{"clawlet's memory admission on synthetic traces, beside other policies"};
  AddOptions(app, settings);
  app.footer("Example: tools/bench budget-sim --shapes agents,storms --seeds 8 --hours 8");
  CLI11_PARSE(app, argc, argv);
  if (settings.list_shapes) {
    ListShapes();
    return 0;
  }
  for (const std::string& node : settings.nodes) {
    if (!ParseBytes(node).ok()) {
      std::fprintf(stderr, "budget-sim: '%s' is no amount of memory\n", node.c_str());
      return 2;
    }
  }
  const std::vector<Result> results = RunAll(settings);
  if (results.empty()) {
    std::fprintf(stderr, "budget-sim: no such shape or policy; see --list-shapes\n");
    return 2;
  }
  (settings.json ? PrintJson : PrintTable)(results, settings.rules.epsilon);
  return 0;
}

}  // namespace
}  // namespace claw::bench

int main(int argc, char** argv) { return claw::bench::Main(argc, argv); }
