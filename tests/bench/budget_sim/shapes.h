#pragma once

#include <cstdint>
#include <string>
#include <vector>

// What the synthetic workloads look like: parameters only. traces.h makes demands of them.

namespace claw::bench {

// Sandboxes of one image. Amounts in bytes, times in seconds.
struct ClassShape {
  std::string name{};
  double share = 1;  // of those that arrive, beside the other classes' shares

  // What it holds between tool calls: log-normal over the sandboxes. arXiv 2602.09345: 185 MB.
  double baseline_bytes = 185e6;
  double baseline_sigma = 0.25;

  // The start: up to the peak and down to the baseline within this time.
  double boot_seconds = 4;
  double boot_peak_bytes = 300e6;

  // A session alternates between thinking (nothing changes) and tool calls.
  double think_seconds = 18;
  double tool_seconds = 6;
  double tool_bytes = 40e6;   // held during a call, up to twice that
  double burst_chance = 0.4;  // that a call bursts
  // Above the baseline: bounded Pareto. 4060 MB at most and 264 MB on average (peak/average 15.4).
  double burst_alpha = 1.2;
  double burst_low_bytes = 100e6;
  double burst_high_bytes = 3'875e6;
  double burst_min_seconds = 1;
  double burst_max_seconds = 2;
  double burst_bytes_per_second = 3e9;

  // Shocks that hit many sandboxes of the class at once: each takes part with this chance, and
  // begins its burst within this time.
  double shocks_per_hour = 0;
  double shock_chance = 0.6;
  double shock_spread_seconds = 3;
  double shock_factor = 1;  // on the size of those bursts

  // Those that leak, and how fast (log-normal); they end at their limit.
  double leak_share = 0;
  double leak_bytes_per_minute = 20e6;

  // Log-normal, between 20 seconds and four hours.
  double life_seconds = 600;
  double life_sigma = 0.8;

  // What tenants declare: what they think it needs, times an error, rounded up to what is offered.
  double limit_guess_bytes = 2.5e9;
  double limit_sigma = 0.5;
  double request_factor = 0.8;  // of the median baseline
  double request_sigma = 0.3;

  // What the runtime takes beside the program.
  double overhead_bytes = 22e6;
  double overhead_sigma = 0.25;

  // From this time on bursts are larger, as after an update under the same name; 0: never.
  double drift_at_seconds = 0;
  double drift_factor = 1;
};

struct Shape {
  std::string name{};
  std::string about{};
  bool tuning = false;  // constants were chosen on it; the others were held out
  std::vector<ClassShape> classes{};
  // So many come of one class after another and end within seconds of each other, so that their
  // successors start at once; 1: each for itself.
  int64_t batch = 1;
  // Tool calls come up to this share more often, and less often, in the course of a period.
  double day_swing = 0;
  double day_seconds = 7200;  // a day, shortened
  // Until then only so many run, and call tools a tenth as often.
  double quiet_seconds = 0;
  int64_t quiet_running = 0;
  // Shocks to all classes at once, on top of their own.
  double common_shocks_per_hour = 0;
};

// All of them; the names are unique.
std::vector<Shape> AllShapes();

}  // namespace claw::bench
