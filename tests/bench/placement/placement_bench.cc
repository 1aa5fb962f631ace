// tools/bench placement: how fast targets are chosen.

#include <CLI/CLI.hpp>

#include "tests/bench/placement/decisions.h"
#include "tests/bench/report.h"

namespace claw::bench {
namespace {

int Main(int argc, char** argv) {
  DecisionSettings decisions;
  bool json = false;
  CLI::App app{"How fast clawlet chooses a target for a sandbox, by how many there are"};
  app.add_flag("--json", json, "print JSON");
  app.add_option("--targets", decisions.targets, "how many (10,1000,10000)")
      ->delimiter(',')
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("--sandboxes", decisions.sandboxes, "that run already, over all targets")
      ->check(CLI::Range(0, 10'000'000));
  app.add_option("--decisions", decisions.decisions, "of each case")
      ->check(CLI::Range(1, 10'000'000));
  app.add_option("--seed", decisions.seed, "of targets, sandboxes and demands");
  CLI11_PARSE(app, argc, argv);
  Print("placement", MeasureDecisions(decisions), json);
  return 0;
}

}  // namespace
}  // namespace claw::bench

int main(int argc, char** argv) { return claw::bench::Main(argc, argv); }
