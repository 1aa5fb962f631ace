#include "tests/bench/budget_sim/shapes.h"

namespace claw::bench {
namespace {

ClassShape Coder() { return {.name = "coder"}; }

ClassShape Browser() {
  ClassShape shape{.name = "browser"};
  shape.share = 0.5;
  shape.baseline_bytes = 420e6;
  shape.boot_seconds = 8;
  shape.boot_peak_bytes = 700e6;
  shape.burst_alpha = 1.6;
  shape.burst_low_bytes = 120e6;
  shape.burst_high_bytes = 2'000e6;
  return shape;
}

ClassShape Shell() {
  ClassShape shape{.name = "shell"};
  shape.baseline_bytes = 60e6;
  shape.boot_peak_bytes = 90e6;
  shape.burst_chance = 0.1;
  shape.burst_low_bytes = 30e6;
  shape.burst_high_bytes = 900e6;
  shape.limit_guess_bytes = 0.8e9;
  shape.life_seconds = 240;
  return shape;
}

ClassShape Data() {
  ClassShape shape{.name = "data"};
  shape.share = 0.4;
  shape.baseline_bytes = 260e6;
  shape.baseline_sigma = 0.5;
  shape.burst_chance = 0.6;
  shape.burst_alpha = 1.05;
  shape.burst_low_bytes = 150e6;
  shape.limit_guess_bytes = 4e9;
  return shape;
}

// Tuning.
Shape Agents() {
  return {.name = "agents",
          .about = "four images, sessions that have nothing to do with each other",
          .tuning = true,
          .classes = {Coder(), Browser(), Shell(), Data()}};
}

Shape Storms() {
  Shape shape{.name = "storms",
              .about = "three images, each now and then bursting in most of its sandboxes at once",
              .tuning = true,
              .classes = {Coder(), Shell(), Data()}};
  for (ClassShape& one : shape.classes) {
    one.shocks_per_hour = 4;
    one.shock_chance = 0.5;
  }
  return shape;
}

// Held out.
Shape OneImage() {
  ClassShape only = Coder();
  only.burst_chance = 0.5;
  return {.name = "one-image",
          .about = "a single image whose tool calls follow the time of day",
          .classes = {only},
          .day_swing = 0.6};
}

Shape HeavyTail() {
  Shape shape{.name = "heavy-tail",
              .about = "burst sizes with hardly a mean, up to 7.5 GB, under limits of 8 GiB",
              .classes = {Coder(), Data()}};
  for (ClassShape& one : shape.classes) {
    one.burst_alpha = 0.8;
    one.burst_low_bytes = 60e6;
    one.burst_high_bytes = 7'500e6;
    one.burst_max_seconds = 3;
    one.limit_guess_bytes = 7e9;
    one.limit_sigma = 0.3;
    one.request_factor = 0.4;
  }
  return shape;
}

Shape Leaks() {
  Shape shape{.name = "leaks",
              .about = "long sessions, of which a third grow until their limit ends them",
              .classes = {Coder(), Browser()}};
  for (ClassShape& one : shape.classes) {
    one.leak_share = 0.33;
    one.leak_bytes_per_minute = 30e6;
    one.life_seconds = 2400;
  }
  return shape;
}

Shape BootStorms() {
  Shape shape{.name = "boot-storms",
              .about = "batches of 40 that begin and end together, with starts of a gigabyte",
              .classes = {Coder(), Shell()},
              .batch = 40};
  for (ClassShape& one : shape.classes) {
    one.boot_seconds = 12;
    one.boot_peak_bytes = one.baseline_bytes * 5;
    one.life_seconds = 420;
    one.request_factor = 0.5;
  }
  return shape;
}

Shape WakeUps() {
  Shape shape{.name = "wake-ups",
              .about = "idle for hours, then most of all images at once, six times an hour",
              .classes = {Coder(), Browser(), Shell()},
              .common_shocks_per_hour = 6};
  for (ClassShape& one : shape.classes) {
    one.think_seconds = 300;
    one.request_factor = 1.3;
    one.life_seconds = 5400;
    one.shock_chance = 0.7;
    one.shock_spread_seconds = 4;
  }
  return shape;
}

Shape MorningRush() {
  Shape shape = Agents();
  shape.name = "morning-rush";
  shape.about = "an hour in which six idle about, and then as many as fit, at work";
  shape.tuning = false;
  shape.quiet_seconds = 3600;
  shape.quiet_running = 6;
  return shape;
}

Shape Drift() {
  Shape shape{.name = "drift",
              .about = "after an hour the same images burst three times as high",
              .classes = {Coder(), Shell(), Data()}};
  for (ClassShape& one : shape.classes) {
    one.drift_at_seconds = 3600;
    one.drift_factor = 3;
  }
  return shape;
}

Shape SlackLimits() {
  Shape shape{.name = "slack-limits",
              .about =
                  "tenants who declare eight gigabytes for what needs one, and those who "
                  "declare too little",
              .classes = {Coder(), Shell()}};
  for (ClassShape& one : shape.classes) {
    one.burst_high_bytes = 900e6;
    one.burst_alpha = 1.5;
  }
  shape.classes[0].limit_guess_bytes = 7e9;
  shape.classes[1].limit_guess_bytes = 0.2e9;
  shape.classes[1].request_factor = 0.7;
  return shape;
}

}  // namespace

std::vector<Shape> AllShapes() {
  return {Agents(),     Storms(),  OneImage(),    HeavyTail(), Leaks(),
          BootStorms(), WakeUps(), MorningRush(), Drift(),     SlackLimits()};
}

}  // namespace claw::bench
