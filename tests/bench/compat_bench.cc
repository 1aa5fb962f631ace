// tools/bench compat: real programs under gVisor beside the same ones under runc.

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "agent/base/strings.h"
#include "agent/base/subprocess.h"
#include "tests/bench/agent_process.h"
#include "tests/bench/report.h"
#include "tests/support/temp_dir.h"

namespace claw::bench {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct Settings {
  int rounds = 3;
  bool json = false;
  std::vector<std::string> images{};  // empty: all
  std::string bin = CLAW_BIN;
};

constexpr char kPath[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// Not by exit(3): the agent has to be taken down.
[[noreturn]] void Die(const std::string& why) { throw std::runtime_error(why); }

// Runs a program whose progress goes to our own standard error; answers with its exit code.
int RunAloud(const std::vector<std::string>& argv) {
  ProcessSpec spec;
  spec.argv = argv;
  spec.env = {kPath};
  spec.descriptors = {{STDERR_FILENO, STDOUT_FILENO}, {STDERR_FILENO, STDERR_FILENO}};
  auto process = Spawn(spec);
  if (!process.ok()) Die(ToLogString(process.status()));
  return process->Wait().value_or(-1);
}

// One kind of runs of all probes of an image, a round each.
struct Runs {
  std::vector<double> millis{};
  std::vector<double> mebibytes{};

  // Of all probes together: the sum of their times, and the highest memory.
  void Add(const Json& verdict, const char* which) {
    double time = 0;
    double memory = 0;
    for (const Json& probe : verdict.at("probes")) {
      const Json& run = probe.at(which);
      // "1.500s", and a number too large for JSON's own, as protobuf writes them.
      time += std::strtod(run.at("wall_time").get<std::string>().c_str(), nullptr) * 1000;
      const std::string bytes = run.at("memory_peak_bytes").get<std::string>();
      memory = std::max(memory, std::strtod(bytes.c_str(), nullptr) / (1 << 20));
    }
    millis.push_back(time);
    mebibytes.push_back(memory);
  }
};

struct Measured {
  std::string image{};
  std::vector<std::string> verdicts{};  // a round each
  std::vector<std::string> mattered{};  // calls without which the probes end otherwise
  std::vector<std::string> coped{};     // calls that failed, too
  Runs gvisor{};
  Runs runc{};

  double Ratio() const { return SpreadOf(gvisor.millis).median / SpreadOf(runc.millis).median; }
};

void AddOnce(std::vector<std::string>& names, const std::string& name) {
  if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
}

class CompatBench {
 public:
  explicit CompatBench(Settings settings) : settings_(std::move(settings)) {
    std::vector<std::string> make = {CLAW_SOURCE_DIR "/tools/compat/images"};
    make.insert(make.end(), settings_.images.begin(), settings_.images.end());
    if (RunAloud(make) != 0) Die("the images cannot be made");
    agent_ = std::make_unique<AgentProcess>(settings_.bin, dir_.path() / "clawlet");
  }

  std::vector<Measured> RunAll() {
    if (settings_.images.empty()) settings_.images = Names();
    std::vector<Measured> all(settings_.images.size());
    for (int round = 0; round < settings_.rounds; ++round) {
      for (size_t i = 0; i < all.size(); ++i) {
        all[i].image = settings_.images[i];
        std::fprintf(stderr, "… round %d of %d: %s\n", round + 1, settings_.rounds,
                     all[i].image.c_str());
        Measure(all[i]);
      }
    }
    return all;
  }

 private:
  // The images that the program that makes them knows.
  static std::vector<std::string> Names() {
    ProcessSpec spec;
    spec.argv = {CLAW_SOURCE_DIR "/tools/compat/images", "--list"};
    const auto listed = RunOrError(spec);
    if (!listed.ok()) Die(ToLogString(listed.status()));
    std::vector<std::string> names;
    for (const std::string_view line : Split(*listed, '\n', true)) {
      names.emplace_back(line.substr(0, line.find(' ')));
    }
    return names;
  }

  // A test runs each probe under runc and then under gVisor, so the two take turns.
  void Measure(Measured& measured) {
    ProcessSpec spec;
    spec.argv = {fs::path(settings_.bin) / "clawctl",
                 "node",
                 "compat",
                 "suite",
                 CLAW_SOURCE_DIR "/tools/compat/suite.toml",
                 "--only",
                 measured.image,
                 "--baseline",
                 "--quiet",
                 "-o",
                 "json"};
    spec.env = {kPath, StrCat("CLAWLET_SOCKET=", agent_->socket().string())};
    const auto result = Run(spec, {.timeout = std::chrono::minutes(30)});
    if (!result.ok()) Die(ToLogString(result.status()));
    const Json json = Json::parse(result->out, nullptr, false);
    if (json.is_discarded() || json.at("images").size() != 1) Die(result->err);
    const Json& image = json.at("images").at(0);
    if (!image.contains("verdict")) Die(result->err);
    const Json& verdict = image.at("verdict");
    measured.verdicts.push_back(image.at("result"));
    measured.gvisor.Add(verdict, "gvisor");
    measured.runc.Add(verdict, "baseline");
    for (const Json& finding : verdict.at("findings")) {
      const bool mattered = finding.at("mattered") == "YES";
      AddOnce(mattered ? measured.mattered : measured.coped, finding.at("name"));
    }
  }

  Settings settings_;
  test::TempDir dir_;
  std::unique_ptr<AgentProcess> agent_;
};

std::string VerdictOf(const Measured& measured) {
  std::vector<std::string> different;
  for (const std::string& verdict : measured.verdicts) AddOnce(different, verdict);
  return Join(different, "/");
}

std::string SpreadLabel(const std::vector<double>& samples) {
  const Spread spread = SpreadOf(samples);
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.0f (%.0f-%.0f)", spread.median, spread.min,
                spread.max);
  return text.data();
}

void PrintTable(const std::vector<Measured>& all, int rounds) {
  std::printf("%-13s %-12s %19s %19s %6s %11s %9s  %s\n", "image", "verdict", "gVisor ms",
              "runc ms", "ratio", "gVisor MiB", "runc MiB", "calls that mattered");
  for (const Measured& measured : all) {
    std::string calls = measured.mattered.empty() ? "none" : Join(measured.mattered, ", ");
    if (!measured.coped.empty()) calls += "; did without " + Join(measured.coped, ", ");
    std::printf("%-13s %-12s %19s %19s %6.1f %11.1f %9.1f  %s\n", measured.image.c_str(),
                VerdictOf(measured).c_str(), SpreadLabel(measured.gvisor.millis).c_str(),
                SpreadLabel(measured.runc.millis).c_str(), measured.Ratio(),
                SpreadOf(measured.gvisor.mebibytes).median,
                SpreadOf(measured.runc.mebibytes).median, calls.c_str());
  }
  std::printf("\n(%d rounds: median, minimum-maximum; time of all probes, highest memory of one)\n",
              rounds);
}

void PrintJson(const std::vector<Measured>& all) {
  const auto runs = [](const Runs& of) {
    const auto spread = [](const std::vector<double>& samples) {
      const Spread values = SpreadOf(samples);
      return Json{{"min", values.min}, {"median", values.median}, {"max", values.max}};
    };
    return Json{{"wall_ms", spread(of.millis)}, {"memory_peak_mib", spread(of.mebibytes)}};
  };
  Json out = {{"benchmark", "compat"}, {"images", Json::array()}};
  for (const Measured& measured : all) {
    out["images"].push_back({{"image", measured.image},
                             {"verdict", VerdictOf(measured)},
                             {"calls_that_mattered", measured.mattered},
                             {"calls_done_without", measured.coped},
                             {"gvisor", runs(measured.gvisor)},
                             {"runc", runs(measured.runc)},
                             {"ratio", measured.Ratio()}});
  }
  std::printf("%s\n", out.dump(2).c_str());
}

}  // namespace
}  // namespace claw::bench

int main(int argc, char** argv) {
  claw::bench::Settings settings;
  CLI::App app{"Real programs under gVisor beside runc: verdicts, times, memory"};
  app.add_flag("--json", settings.json, "print JSON");
  app.add_option("--rounds", settings.rounds, "tests of each image")->check(CLI::Range(1, 1000));
  app.add_option("--image", settings.images, "only this one; may be given many times");
  app.add_option("--bin", settings.bin, "folder of the clawlet and clawctl to measure");
  app.footer("Example: tools/bench compat --rounds 5 --image python3 --image nodejs");
  CLI11_PARSE(app, argc, argv);
  try {
    claw::bench::CompatBench bench(settings);
    const auto measured = bench.RunAll();
    if (settings.json) {
      claw::bench::PrintJson(measured);
    } else {
      claw::bench::PrintTable(measured, settings.rounds);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "benchmark: %s\n", error.what());
    return 1;
  }
  return 0;
}
