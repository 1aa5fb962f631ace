// tools/bench start: what clawlet adds to a bare runtime, beside those who do the same.

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <functional>
#include <map>
#include <thread>

#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "agent/host/process.h"
#include "tests/bench/agent_client.h"
#include "tests/bench/peers.h"
#include "tests/bench/report.h"
#include "tests/support/busybox_root.h"
#include "tests/support/temp_dir.h"

namespace claw::bench {
namespace {

struct Settings {
  int rounds = 10;
  int cycles = 12;  // of each worker, for starts a second
  int idle_seconds = 5;
  bool json = false;
  std::string bin = CLAW_BIN;
};

double MillisOf(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin)
      .count();
}

void Progress(const std::string& text) { std::fprintf(stderr, "… %s\n", text.c_str()); }

class StartBench {
 public:
  explicit StartBench(Settings settings)
      : settings_(std::move(settings)), root_(dir_.path() / "image"), bin_(settings_.bin) {
    test::MakeBusyboxRoot(root_);
    agent_ = std::make_unique<AgentClient>(bin_, dir_.path() / "clawlet", root_);
    containerd_ = std::make_unique<Containerd>(dir_.path() / "containerd", root_);
    for (const char* kind : {"runc", "runsc"}) {
      bare_.emplace(kind, BareRuntime(kind, dir_.path() / kind, root_));
      podman_.emplace(kind, Podman(kind, dir_.path() / "podman" / kind, root_));
    }
  }

  std::vector<Row> RunAll() {
    for (const char* kind : {"runc", "runsc"}) CreateToRunning(kind);
    for (const char* kind : {"runc", "runsc"}) StartToExit(kind);
    for (const char* kind : {"runc", "runsc"}) {
      for (const int parallel : {1, 2, 4, 8}) StartsASecond(kind, parallel);
    }
    Compare(rows_);
    Idle();
    return rows_;
  }

 private:
  std::string NextId() { return StrCat("bench", 100000 + next_id_++); }

  // Takes each contender once a round, in turn, so that a machine that changes its speed is fair to
  // all.
  void Interleave(const std::string& group,
                  const std::vector<std::pair<std::string, std::function<double()>>>& contenders) {
    Progress(group);
    std::map<std::string, std::vector<double>> samples;
    for (int round = -1; round < settings_.rounds; ++round) {
      for (const auto& [who, measure] : contenders) {
        const double millis = measure();
        if (round >= 0) samples[who].push_back(millis);  // the first round warms up
      }
    }
    for (const auto& [who, measure] : contenders) {
      rows_.push_back({.group = group, .who = who, .unit = "ms", .value = SpreadOf(samples[who])});
    }
  }

  void CreateToRunning(const std::string& kind) {
    BareRuntime& bare = bare_.at(kind);
    const auto measure_bare = [&](Bundle bundle) {
      const AdoptOrphans adopt;
      const std::string id = NextId();
      const double millis = MillisOf([&] { bare.CreateAndStart(id, bundle); });
      bare.Remove(id);
      return millis;
    };
    Interleave("create to running, " + kind,
               {{kind + " create + start", [&] { return measure_bare(Bundle::kPlain); }},
                {"the same, confined alike", [&] { return measure_bare(Bundle::kConfined); }},
                {"clawlet CreateSandbox", [&] {
                   std::string name;
                   const double millis = MillisOf([&] { name = agent_->CreateSleeper(kind); });
                   agent_->Delete(name);
                   return millis;
                 }}});
  }

  void StartToExit(const std::string& kind) {
    BareRuntime& bare = bare_.at(kind);
    const std::string socket = agent_->socket();
    Interleave(
        "start to exit, " + kind,
        {{kind + " run", [&] { return MillisOf([&] { bare.RunToExit(NextId()); }); }},
         {"clawctl node run --rm",
          [&] {
            return MillisOf([&] {
              MustRun({bin_ / "clawctl", "node", "--socket", socket, "run", "--rm", "--tenant",
                       kind, "--image", "bench", "--memory", "32Mi", "--", "/bin/true"});
            });
          }},
         {"podman run --rm", [&] { return MillisOf([&] { podman_.at(kind).RunToExit(); }); }},
         {"ctr run --rm (containerd)",
          [&] { return MillisOf([&] { containerd_->RunToExit(kind, NextId()); }); }}});
  }

  double CyclesASecond(int parallel, const std::function<void(const std::string&)>& cycle) {
    const double millis = MillisOf([&] {
      std::vector<std::thread> workers;
      for (int worker = 0; worker < parallel; ++worker) {
        workers.emplace_back([&, worker] {
          for (int i = 0; i < settings_.cycles; ++i) {
            cycle(StrCat("bench", worker, "x", 1000 + i, "y", parallel));
          }
        });
      }
      for (std::thread& worker : workers) worker.join();
    });
    return parallel * settings_.cycles * 1000.0 / millis;
  }

  void StartsASecond(const std::string& kind, int parallel) {
    const std::string group = StrCat("start and remove, ", kind, ", ", parallel, " in parallel");
    Progress(group);
    BareRuntime& bare = bare_.at(kind);
    const auto bare_cycles = [&](Bundle bundle) {
      const AdoptOrphans adopt;
      return CyclesASecond(parallel, [&](const std::string& id) {
        bare.CreateAndStart(id, bundle);
        bare.Remove(id);
      });
    };
    const auto our_cycle = [&](const std::string&) { agent_->Delete(agent_->CreateSleeper(kind)); };
    std::vector<double> plain;
    std::vector<double> confined;
    std::vector<double> ours;
    for (int round = 0; round < 3; ++round) {
      plain.push_back(bare_cycles(Bundle::kPlain));
      confined.push_back(bare_cycles(Bundle::kConfined));
      ours.push_back(CyclesASecond(parallel, our_cycle));
    }
    const auto add = [&](const std::string& who, std::vector<double>& samples) {
      rows_.push_back({.group = group, .who = who, .unit = "1/s", .value = SpreadOf(samples)});
    };
    add(kind + " create, start, kill, delete", plain);
    add("the same, confined alike", confined);
    add("clawlet create, delete", ours);
  }

  void AddSingle(const std::string& group, const std::string& who, const std::string& unit,
                 double value) {
    rows_.push_back({.group = group, .who = who, .unit = unit, .value = {value, value, value}});
  }

  void Idle() {
    std::vector<std::string> sleepers;
    for (const size_t count : {0U, 10U, 50U}) {
      const std::string group = StrCat("the agent at rest, ", count, " idle sandboxes");
      Progress(group);
      while (sleepers.size() < count) {
        sleepers.push_back(agent_->CreateSleeper(sleepers.size() % 2 == 0 ? "runc" : "runsc"));
      }
      std::this_thread::sleep_for(std::chrono::seconds(2));
      const double before = CpuMillis(agent_->pid());
      std::this_thread::sleep_for(std::chrono::seconds(settings_.idle_seconds));
      const double cpu = CpuMillis(agent_->pid()) - before;
      AddSingle(group, "PSS of clawlet", "MiB",
                static_cast<double>(MemoryOf(agent_->pid()).pss_bytes) / (1 << 20));
      AddSingle(group, "CPU of clawlet", "ms/s", cpu / settings_.idle_seconds);
    }
    Supervision(sleepers.size());
    for (const std::string& name : sleepers) agent_->Delete(name);
  }

  // What an idle sandbox costs outside of its own cgroup: its conmon.
  void Supervision(size_t count) {
    double pss = 0;
    double dirty = 0;
    const std::string marker = agent_->state_dir().string();
    const std::vector<std::string> processes = ListDirectory("/proc").value();
    for (const std::string& entry : processes) {
      int64_t pid = 0;
      if (!ParseInt(entry, &pid)) continue;
      const std::vector<std::string> words = host::CommandLine(static_cast<pid_t>(pid));
      if (words.empty() || words[0].find("conmon") == std::string::npos) continue;
      if (Join(words, " ").find(marker) == std::string::npos) continue;
      const MemoryUse use = MemoryOf(static_cast<pid_t>(pid));
      pss += static_cast<double>(use.pss_bytes);
      dirty += static_cast<double>(use.private_dirty_bytes);
    }
    const std::string group = StrCat("supervision of one idle sandbox, of ", count);
    AddSingle(group, "PSS of conmon", "MiB", pss / static_cast<double>(count) / (1 << 20));
    AddSingle(group, "private dirty of conmon", "MiB",
              dirty / static_cast<double>(count) / (1 << 20));
  }

  Settings settings_;
  test::TempDir dir_;
  std::filesystem::path root_;
  std::filesystem::path bin_;
  std::unique_ptr<AgentClient> agent_;
  std::unique_ptr<Containerd> containerd_;
  std::map<std::string, BareRuntime> bare_;
  std::map<std::string, Podman> podman_;
  std::vector<Row> rows_;
  int next_id_ = 0;
};

}  // namespace
}  // namespace claw::bench

int main(int argc, char** argv) {
  claw::bench::Settings settings;
  CLI::App app{"What clawlet adds to a bare runtime's start, beside podman and containerd"};
  app.add_flag("--json", settings.json, "print JSON");
  app.add_option("--rounds", settings.rounds, "measurements of each contender")
      ->check(CLI::Range(1, 1000));
  app.add_option("--cycles", settings.cycles, "starts of each worker, for starts a second")
      ->check(CLI::Range(1, 1000));
  app.add_option("--bin", settings.bin, "folder of the clawlet and clawctl to measure");
  app.footer("Example: tools/bench start --rounds 20");
  CLI11_PARSE(app, argc, argv);
  claw::bench::StartBench bench(settings);
  claw::bench::Print("start", bench.RunAll(), settings.json);
  return 0;
}
