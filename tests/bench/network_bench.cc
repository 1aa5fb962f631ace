// tools/bench network: what it costs to connect sandboxes, and what their rules cost traffic. In a
// network namespace of its own, with a host outside of it in another.

#include <CLI/CLI.hpp>
#include <optional>

#include "tests/bench/network_engine.h"
#include "tests/bench/network_node.h"
#include "tests/bench/network_scene.h"

int main(int argc, char** argv) {
  claw::bench::NetworkSettings settings;
  CLI::App app{"What it costs to connect sandboxes, and what their rules cost traffic"};
  app.add_flag("--json", settings.json, "print JSON");
  app.add_option("--sandboxes", settings.sandboxes, "how many have rules at most")
      ->check(CLI::Range(1, 4000));
  app.add_option("--seconds", settings.seconds, "of each stream")->check(CLI::Range(1, 600));
  app.add_option("--rounds", settings.rounds, "measurements of each contender")
      ->check(CLI::Range(1, 1000));
  app.footer("Example: tools/bench network --sandboxes 100 --seconds 1");
  CLI11_PARSE(app, argc, argv);
  claw::bench::EnterOwnNetwork();
  const claw::bench::Outside outside;
  std::vector<claw::bench::Row> rows = claw::bench::MeasureAgent(settings);
  for (auto& row : claw::bench::MeasureEngine(settings)) rows.push_back(std::move(row));
  claw::bench::Print("network", rows, settings.json);
  return 0;
}
