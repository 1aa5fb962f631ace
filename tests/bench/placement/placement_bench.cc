// tools/bench placement: how fast targets are chosen, and places made durable.

#include <CLI/CLI.hpp>

#include "tests/bench/placement/decisions.h"
#include "tests/bench/placement/durable.h"
#include "tests/bench/report.h"

namespace claw::bench {
namespace {

int Main(int argc, char** argv) {
  DecisionSettings decisions;
  DurableSettings durable{.bin = CLAW_BIN};
  bool without_agent = false;
  bool json = false;
  CLI::App app{"How fast clawlet chooses a target for a sandbox, and makes a place durable"};
  app.add_flag("--json", json, "print JSON");
  app.add_option("--targets", decisions.targets, "how many (10,1000,10000)")
      ->delimiter(',')
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("--sandboxes", decisions.sandboxes, "that run already, over all targets")
      ->check(CLI::Range(0, 10'000'000));
  app.add_option("--decisions", decisions.decisions, "of each case")
      ->check(CLI::Range(1, 10'000'000));
  app.add_option("--seed", decisions.seed, "of targets, sandboxes and demands");
  app.add_flag("--decisions-only", without_agent, "start no agent and no etcd");
  app.add_option("--callers", durable.callers, "of durable changes (1,64)")
      ->delimiter(',')
      ->check(CLI::Range(1, 1000));
  app.add_option("--rounds", durable.rounds, "of durable changes")->check(CLI::Range(1, 1000));
  app.add_option("--seconds", durable.seconds, "of each round")->check(CLI::Range(1, 3600));
  app.add_option("--bin", durable.bin, "folder of the clawlet to measure");
  CLI11_PARSE(app, argc, argv);
  std::vector<Row> rows = MeasureDecisions(decisions);
  if (!without_agent) {
    for (Row& row : MeasureDurable(durable)) rows.push_back(std::move(row));
  }
  Print("placement", rows, json);
  return 0;
}

}  // namespace
}  // namespace claw::bench

int main(int argc, char** argv) { return claw::bench::Main(argc, argv); }
