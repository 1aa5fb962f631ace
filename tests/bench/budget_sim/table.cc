#include "tests/bench/budget_sim/table.h"

#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "agent/base/bytes.h"
#include "agent/base/strings.h"
#include "tests/bench/budget_sim/statistics.h"

namespace claw::bench {
namespace {

double Share(int64_t part, int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0;
}

// What the looks prove about the target.
std::string Verdict(const Interval& interval, double epsilon) {
  if (interval.high <= epsilon) return "kept";
  return interval.low > epsilon ? "broken" : "open";
}

// How policies did over several results: all shapes, or those that were held out.
struct Summary {
  double of_oracle_sum = 0;
  int64_t results = 0;
  Outcome outcome{};
};

void PrintSummary(const std::vector<Result>& results, bool tuning, double epsilon) {
  std::map<std::string, Summary> summaries;
  std::vector<std::string> order;
  for (const Result& one : results) {
    if (one.tuning != tuning) continue;
    const auto [it, is_new] = summaries.try_emplace(one.policy);
    if (is_new) order.push_back(one.policy);
    it->second.of_oracle_sum += one.of_oracle;
    ++it->second.results;
    it->second.outcome.Add(one.outcome);
  }
  if (order.empty()) return;
  std::printf("\nall %s shapes: mean share of the oracle's density, misses of all looks\n",
              tuning ? "tuning" : "held-out");
  for (const std::string& policy : order) {
    const Summary& sum = summaries.at(policy);
    const Interval interval = ClopperPearson(sum.outcome.missed_looks, sum.outcome.looks);
    std::printf("  %-11s %6.1f%%  %9.2e  [%.1e, %.1e] %-6s %7ld kills, %ld within their request\n",
                policy.c_str(), 100 * sum.of_oracle_sum / static_cast<double>(sum.results),
                Share(sum.outcome.missed_looks, sum.outcome.looks), interval.low, interval.high,
                Verdict(interval, epsilon).c_str(), static_cast<long>(sum.outcome.kills),
                static_cast<long>(sum.outcome.kills_within_request));
  }
}

}  // namespace

void PrintTable(const std::vector<Result>& results, double epsilon) {
  std::string title;
  for (const Result& one : results) {
    const std::string next = StrCat(one.shape, one.tuning ? " (tuning)" : " (held out)", ", ",
                                    FormatBytes(one.capacity_bytes));
    if (next != title) {
      title = next;
      std::printf("\n%s\n  %-11s %7s %7s %6s  %-29s %-6s %8s %6s %7s %8s\n", title.c_str(),
                  "policy", "running", "oracle", "used", "misses/look [95%]", "target", "/window",
                  "kills", "in req.", "epsilon");
    }
    const Outcome& outcome = one.outcome;
    const Interval interval = ClopperPearson(outcome.missed_looks, outcome.looks);
    std::printf("  %-11s %7.1f %6.1f%% %5.1f%%  %8.2e [%.1e, %.1e] %-6s %8.1e %6ld %7ld",
                one.policy.c_str(), outcome.running(), 100 * one.of_oracle, 100 * outcome.used(),
                Share(outcome.missed_looks, outcome.looks), interval.low, interval.high,
                Verdict(interval, epsilon).c_str(), Share(outcome.missed_windows, outcome.windows),
                static_cast<long>(outcome.kills), static_cast<long>(outcome.kills_within_request));
    if (outcome.epsilon > 0) std::printf(" %8.1e", outcome.epsilon);
    std::printf("\n");
  }
  for (const bool tuning : {true, false}) PrintSummary(results, tuning, epsilon);
  std::printf(
      "\n  running: sandboxes on average; oracle: as a share of the oracle's; used: of what is\n"
      "  allocatable; misses: stretches of 5 s (windows: of 60 s) in which more was wanted than\n"
      "  there is, with Clopper and Pearson's interval as if looks were independent; target: what\n"
      "  the interval proves about epsilon = %g; in req.: kills within the request; epsilon: "
      "where\n"
      "  the control ended, the lowest of all seeds.\n",
      epsilon);
}

void PrintJson(const std::vector<Result>& results, double epsilon) {
  nlohmann::json rows = nlohmann::json::array();
  for (const Result& one : results) {
    const Outcome& outcome = one.outcome;
    const Interval looks = ClopperPearson(outcome.missed_looks, outcome.looks);
    rows.push_back({{"shape", one.shape},
                    {"tuning", one.tuning},
                    {"capacity_bytes", one.capacity_bytes},
                    {"policy", one.policy},
                    {"running", outcome.running()},
                    {"of_oracle", one.of_oracle},
                    {"used", outcome.used()},
                    {"looks", outcome.looks},
                    {"missed_looks", outcome.missed_looks},
                    {"miss_rate", Share(outcome.missed_looks, outcome.looks)},
                    {"miss_rate_low", looks.low},
                    {"miss_rate_high", looks.high},
                    {"target", Verdict(looks, epsilon)},
                    {"windows", outcome.windows},
                    {"missed_windows", outcome.missed_windows},
                    {"starts", outcome.starts},
                    {"kills", outcome.kills},
                    {"kills_within_request", outcome.kills_within_request},
                    {"final_epsilon", outcome.epsilon}});
  }
  const nlohmann::json out = {
      {"benchmark", "budget-sim"}, {"epsilon", epsilon}, {"rows", std::move(rows)}};
  std::printf("%s\n", out.dump(2).c_str());
}

}  // namespace claw::bench
