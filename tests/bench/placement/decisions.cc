#include "tests/bench/placement/decisions.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <functional>

#include "tests/bench/placement/fleet.h"

namespace claw::bench {
namespace {

constexpr int64_t kRounds = 5;

using Clock = std::chrono::steady_clock;

double MicrosSince(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

double Quantile(std::vector<double> samples, double share) {
  if (samples.empty()) return 0;
  const auto index = static_cast<size_t>(share * static_cast<double>(samples.size() - 1));
  std::nth_element(samples.begin(), samples.begin() + static_cast<ptrdiff_t>(index), samples.end());
  return samples[index];
}

struct Case {
  std::string name;
  FleetShape shape;
  std::function<void(placement::Demand&)> alter = [](placement::Demand&) {};
};

// Commits what was decided: the table learns of each new sandbox, and of the end of an old one, so
// that as many run after it as before.
class Committer {
 public:
  explicit Committer(Fleet& fleet) : fleet_(fleet) {}

  void Commit(const placement::Demand& demand, const placement::Table::Choice& choice) {
    const Sandbox sandbox = fleet_.Record(demand, choice.offer);
    const std::string target = choice.target->name;
    const auto start = Clock::now();
    fleet_.table().PutSandbox(target, sandbox, fleet_.settings());
    micros_.push_back(MicrosSince(start));
    placed_.emplace_back(target, sandbox.id);
    if (placed_.size() <= kMost) return;
    fleet_.table().DropSandbox(placed_.front().first, placed_.front().second, fleet_.settings());
    placed_.pop_front();
  }

  // The other way to say it, which costs more the more the target holds.
  double PutWhole(const std::string& name) {
    placement::Target target = *fleet_.table().Find(name);
    const auto start = Clock::now();
    fleet_.table().Put(std::move(target), fleet_.settings());
    return MicrosSince(start);
  }

  const std::vector<double>& micros() const { return micros_; }

 private:
  static constexpr size_t kMost = 100;  // small beside what runs already

  Fleet& fleet_;
  std::deque<std::pair<std::string, std::string>> placed_;
  std::vector<double> micros_;
};

std::vector<Row> Measure(const Case& one, const DecisionSettings& settings) {
  Fleet fleet(one.shape, settings.seed);
  Committer committer(fleet);
  std::vector<double> all;
  std::vector<double> p99;
  std::vector<double> rates;
  std::vector<double> puts;
  int64_t refused = 0;
  for (int64_t round = 0; round < kRounds; ++round) {
    std::vector<double> micros;
    double busy = 0;
    for (int64_t i = 0; i < std::max<int64_t>(1, settings.decisions / kRounds); ++i) {
      placement::Demand demand = fleet.NextDemand();
      one.alter(demand);
      const auto start = Clock::now();
      const auto choice = fleet.table().Choose(demand, fleet.settings());
      micros.push_back(MicrosSince(start));
      busy += micros.back();
      if (!choice.ok()) {
        ++refused;
        continue;
      }
      const std::string name = choice->target->name;
      committer.Commit(demand, *choice);
      if (i % 20 == 0) puts.push_back(committer.PutWhole(name));
    }
    rates.push_back(1e6 * static_cast<double>(micros.size()) / busy);
    p99.push_back(Quantile(micros, 0.99));
    all.insert(all.end(), micros.begin(), micros.end());
  }
  const std::string group =
      StrCat(one.name, ": ", one.shape.targets, " targets, ", fleet.sandboxes(), " sandboxes, ",
             refused, " of ", all.size(), " refused");
  std::vector<Row> rows = {
      {.group = group, .who = "decision", .unit = "us", .value = SpreadOf(all)},
      {.group = group,
       .who = "decision, p99",
       .unit = "us",
       .value = SpreadOf(p99),
       .note = StrCat("of ", kRounds, " rounds")},
      {.group = group, .who = "decisions a second", .unit = "1/s", .value = SpreadOf(rates)}};
  if (committer.micros().empty()) return rows;
  rows.push_back(
      {.group = group, .who = "commit", .unit = "us", .value = SpreadOf(committer.micros())});
  rows.push_back(
      {.group = group, .who = "commit as a whole target", .unit = "us", .value = SpreadOf(puts)});
  return rows;
}

std::vector<Case> AllCases(const DecisionSettings& settings) {
  std::vector<Case> cases;
  for (const int64_t targets : settings.targets) {
    cases.push_back({"mixed", {.targets = targets, .sandboxes = settings.sandboxes}});
  }
  const FleetShape most = {
      .targets = *std::max_element(settings.targets.begin(), settings.targets.end()),
      .sandboxes = settings.sandboxes};
  FleetShape shape = most;
  shape.sandboxes = 0;
  cases.push_back({"nothing runs yet", shape});
  shape = most;
  shape.burstable = 0.5;
  cases.push_back({"half of them burstable", shape});
  shape = most;
  shape.one_tenant = true;
  cases.push_back({"one tenant everywhere", shape});
  cases.push_back({"a label that one target in a hundred has", most, [](auto& demand) {
                     demand.spec.node_selector = {{kRareLabel, "nvme"}};
                   }});
  cases.push_back({"a label that no target has", most, [](auto& demand) {
                     demand.spec.node_selector = {{kRareLabel, "tape"}};
                   }});
  cases.push_back({"too large for any target", most, [](auto& demand) {
                     demand.spec.workload_bytes = kMaxWorkloadBytes;
                     demand.spec.request_bytes = 0;
                   }});
  return cases;
}

}  // namespace

std::vector<Row> MeasureDecisions(const DecisionSettings& settings) {
  std::vector<Row> rows;
  for (const Case& one : AllCases(settings)) {
    const std::vector<Row> more = Measure(one, settings);
    rows.insert(rows.end(), more.begin(), more.end());
  }
  return rows;
}

}  // namespace claw::bench
