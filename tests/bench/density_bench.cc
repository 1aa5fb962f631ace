// How many real sandboxes a node of a given size takes until it refuses, and whether all of them
// can then use what they were promised. The other policies are asked about the same arrivals with
// the peaks that were measured in the same run.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "agent/base/bytes.h"
#include "agent/base/strings.h"
#include "tests/bench/density_node.h"
#include "tests/support/temp_dir.h"

namespace claw::bench {
namespace {

using std::chrono::seconds;

struct Settings {
  bool json = false;
  std::string budget = "2Gi";
  int learn_seconds = 30;
  int hold_seconds = 10;
};

// What arrives, again and again in this order.
const std::vector<Workload>& Mix() {
  static const std::vector<Workload> mix = {
      {"python", "guest", 96 * kMiB}, {"shell", "guest", 16 * kMiB}, {"node", "guest", 128 * kMiB},
      {"python", "house", 96 * kMiB}, {"shell", "house", 16 * kMiB}, {"node", "house", 128 * kMiB},
      {"python", "guest", 96 * kMiB}, {"shell", "guest", 16 * kMiB}};
  return mix;
}

// One way to charge a sandbox, and what came of it.
struct Outcome {
  std::string name;
  std::function<int64_t(const Workload&)> charge;  // absent: the node itself decided
  std::map<std::string, int64_t> admitted{};       // by KindOf
  int64_t sandboxes = 0;
  int64_t peak_bytes = 0;  // what they use when all use what they were promised
  int64_t oom_kills = 0;
};

std::string KindOf(const Workload& one) { return StrCat(one.image, "/", one.tenant); }
bool IsGvisor(const Workload& one) { return one.tenant == "guest"; }

class DensityBench {
 public:
  explicit DensityBench(Settings settings)
      : settings_(std::move(settings)),
        budget_bytes_(ParseBytes(settings_.budget).value_or(2 * kGiB)),
        node_(dir_.path(), budget_bytes_) {}

  std::vector<Outcome> Run() {
    Learn();
    Outcome ours{.name = "clawlet", .charge = {}};
    Fill(ours);
    UsePromises(ours);
    std::vector<Outcome> all = {ours};
    const auto peak = [this](const Workload& one) { return peaks_.at(KindOf(one)); };
    const auto tax = [](int64_t bytes) {
      return
          [bytes](const Workload& one) { return one.workload_bytes + (IsGvisor(one) ? bytes : 0); };
    };
    all.push_back({.name = "oracle (knows each peak)", .charge = peak});
    all.push_back({.name = "static 256 MiB a gVisor sandbox", .charge = tax(256 * kMiB)});
    all.push_back({.name = "1.25 x + 2 GiB a gVisor sandbox", .charge = [](const Workload& one) {
                     return IsGvisor(one) ? one.workload_bytes * 5 / 4 + 2 * kGiB
                                          : one.workload_bytes;
                   }});
    all.push_back({.name = "requests alone", .charge = tax(0)});
    for (size_t i = 1; i < all.size(); ++i) Imagine(all[i]);
    return all;
  }

  int64_t budget_bytes() const { return budget_bytes_; }

 private:
  static void Progress(const std::string& what) {
    std::fprintf(stderr, "bench: %s\n", what.c_str());
  }

  // Each kind runs for a while and uses what it was promised, so that the node knows its overhead.
  void Learn() {
    node_.Trigger(true);
    for (const Workload& kind : {Mix()[0], Mix()[1], Mix()[2], Mix()[3], Mix()[4], Mix()[5]}) {
      Progress(StrCat("learning ", KindOf(kind)));
      std::vector<std::string> names;
      for (int i = 0; i < 2; ++i) {
        const StatusOr<std::string> name = node_.Create(kind);
        if (name.ok()) names.push_back(*name);
      }
      std::this_thread::sleep_for(seconds(settings_.learn_seconds));
      for (const std::string& name : names) node_.Delete(name);
    }
    node_.Trigger(false);
  }

  // In the order of the mix, over and over; a kind that does not fit is passed over.
  void Fill(Outcome& ours) {
    Progress("filling the node");
    std::map<std::string, bool> full;
    for (size_t i = 0; full.size() < 6; i = (i + 1) % Mix().size()) {
      const Workload& next = Mix()[i];
      if (full.contains(KindOf(next))) continue;
      const StatusOr<std::string> name = node_.Create(next);
      if (!name.ok()) {
        full[KindOf(next)] = true;
        Progress(StrCat(KindOf(next), " is refused: ", ToStd(name.status().message())));
        continue;
      }
      running_[*name] = next;
      ++ours.admitted[KindOf(next)];
      ++ours.sandboxes;
    }
  }

  void UsePromises(Outcome& ours) {
    Progress(StrCat(running_.size(), " sandboxes use what they were promised"));
    node_.Trigger(true);
    const auto until = std::chrono::steady_clock::now() + seconds(20 + settings_.hold_seconds);
    std::map<std::string, int64_t> highest;
    while (std::chrono::steady_clock::now() < until) {
      int64_t sum = 0;
      for (const auto& [name, bytes] : node_.UsedBytes()) {
        highest[name] = std::max(highest[name], bytes);
        sum += bytes;
      }
      ours.peak_bytes = std::max(ours.peak_bytes, sum);
      std::this_thread::sleep_for(std::chrono::milliseconds(250));
    }
    for (const auto& [name, kind] : running_) {
      peaks_[KindOf(kind)] = std::max(peaks_[KindOf(kind)], highest[name]);
      if (node_.WasKilled(name)) ++ours.oom_kills;
    }
    for (const auto& [kind, bytes] : peaks_) {
      Progress(StrCat(kind, ": peak ", FormatBytes(bytes)));
    }
    for (const auto& [name, kind] : running_) node_.Delete(name);
  }

  // The same arrivals under another policy, with the peaks that were measured.
  void Imagine(Outcome& outcome) const {
    std::map<std::string, bool> full;
    int64_t charged = 0;
    for (size_t i = 0; full.size() < 6; i = (i + 1) % Mix().size()) {
      const Workload& next = Mix()[i];
      if (full.contains(KindOf(next))) continue;
      if (charged + outcome.charge(next) > budget_bytes_) {
        full[KindOf(next)] = true;
        continue;
      }
      charged += outcome.charge(next);
      outcome.peak_bytes += peaks_.at(KindOf(next));
      ++outcome.admitted[KindOf(next)];
      ++outcome.sandboxes;
    }
  }

  Settings settings_;
  test::TempDir dir_;
  const int64_t budget_bytes_;
  DensityNode node_;
  std::map<std::string, Workload> running_;  // by name
  std::map<std::string, int64_t> peaks_;     // by kind
};

// What the sandboxes may use for themselves: what density is about.
int64_t PromisedBytes(const Outcome& outcome) {
  int64_t sum = 0;
  for (const Workload& kind : {Mix()[0], Mix()[1], Mix()[2], Mix()[3], Mix()[4], Mix()[5]}) {
    const auto it = outcome.admitted.find(KindOf(kind));
    if (it != outcome.admitted.end()) sum += it->second * kind.workload_bytes;
  }
  return sum;
}

int64_t UnderGvisor(const Outcome& outcome) {
  int64_t sum = 0;
  for (const auto& [kind, count] : outcome.admitted) {
    if (kind.ends_with("/guest")) sum += count;
  }
  return sum;
}

void PrintOutcomes(const std::vector<Outcome>& outcomes, int64_t budget_bytes, bool json) {
  const auto share = [&](int64_t bytes) {
    return static_cast<double>(bytes) / static_cast<double>(budget_bytes);
  };
  const auto of_oracle = [&](const Outcome& one) {
    return static_cast<double>(PromisedBytes(one)) /
           static_cast<double>(std::max<int64_t>(1, PromisedBytes(outcomes[1])));
  };
  nlohmann::json rows = nlohmann::json::array();
  if (!json) {
    std::printf("\n%s for sandboxes\n  %-34s %9s %9s %10s %9s %7s %s\n",
                FormatBytes(budget_bytes).c_str(), "admission", "sandboxes", "in gVisor",
                "of oracle", "in use", "killed", "note");
  }
  for (const Outcome& one : outcomes) {
    const bool overfull = one.peak_bytes > budget_bytes;
    rows.push_back({{"policy", one.name},
                    {"sandboxes", one.sandboxes},
                    {"gvisor_sandboxes", UnderGvisor(one)},
                    {"promised_bytes", PromisedBytes(one)},
                    {"density_of_oracle", of_oracle(one)},
                    {"peak_bytes", one.peak_bytes},
                    {"share_used", share(one.peak_bytes)},
                    {"oom_kills", one.oom_kills},
                    {"would_run_out", overfull},
                    {"measured", !one.charge}});
    if (json) continue;
    std::printf("  %-34s %9lld %9lld %9.1f%% %8.1f%% %7s %s\n", one.name.c_str(),
                static_cast<long long>(one.sandboxes), static_cast<long long>(UnderGvisor(one)),
                100 * of_oracle(one), 100 * share(one.peak_bytes),
                one.charge ? "-" : StrCat(one.oom_kills).c_str(),
                overfull ? "would run out of memory" : "");
  }
  if (json) {
    std::printf(
        "%s\n",
        nlohmann::json({{"benchmark", "density"}, {"budget_bytes", budget_bytes}, {"rows", rows}})
            .dump(2)
            .c_str());
    return;
  }
  std::printf(
      "\n  clawlet really ran; the others are asked about the same arrivals, with the peaks that\n"
      "  were measured here. Density is the memory promised to tenants, beside the oracle's.\n");
}

}  // namespace
}  // namespace claw::bench

int main(int argc, char** argv) {
  claw::bench::Settings settings;
  CLI::App app{"How many real sandboxes fit, and whether all can use what they were promised"};
  app.add_flag("--json", settings.json, "print JSON");
  app.add_option("--budget", settings.budget, "memory of the node that is filled");
  app.add_option("--learn-seconds", settings.learn_seconds, "how long each kind is measured before")
      ->check(CLI::Range(1, 3600));
  app.add_option("--hold-seconds", settings.hold_seconds, "how long all use their promises")
      ->check(CLI::Range(1, 3600));
  app.footer("Example: tools/bench density --budget 4Gi");
  CLI11_PARSE(app, argc, argv);
  claw::bench::DensityBench bench(settings);
  const auto outcomes = bench.Run();
  claw::bench::PrintOutcomes(outcomes, bench.budget_bytes(), settings.json);
  const bool killed = outcomes.front().oom_kills > 0;
  return killed ? 1 : 0;
}
