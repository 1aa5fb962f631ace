#include <absl/strings/str_format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <thread>

#include "agent/base/bytes.h"
#include "tools/clawctl/cli.h"
#include "tools/clawctl/commands.h"
#include "tools/clawctl/format.h"
#include "tools/clawctl/node_view.h"
#include "tools/clawctl/sandbox_view.h"

namespace claw::ctl {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kInterval{2000};
// Two samples this far apart give --once its CPU figures.
constexpr milliseconds kOnceInterval{500};

// What one look at the node found.
struct Sample {
  std::map<std::string, pb::SandboxStats> stats;  // by resource name
  std::map<std::string, pb::Sandbox> sandboxes;
  std::string vms{};  // in a sentence; empty: there are none
};

StatusOr<Sample> Take(Client& client) {
  ASSIGN_OR_RETURN(std::vector<pb::SandboxStats> stats, client.ListSandboxStats(""));
  ASSIGN_OR_RETURN(std::vector<pb::Sandbox> sandboxes, client.ListSandboxes("", true));
  Sample sample;
  for (auto& one : stats) sample.stats.emplace(one.name(), std::move(one));
  for (auto& one : sandboxes) sample.sandboxes.emplace(one.name(), std::move(one));
  const auto vms = client.ListVms();
  if (vms.ok()) sample.vms = VmsText(*vms);
  return sample;
}

// Percent of one CPU between two samples; "-" without an earlier one.
std::string CpuPercent(const pb::SandboxStats& now, const Sample& before) {
  const auto found = before.stats.find(now.name());
  if (found == before.stats.end()) return "-";
  const int64_t wall = ToMicros(ToTime(now.time())) - ToMicros(ToTime(found->second.time()));
  const int64_t used = now.cpu_usage_micros() - found->second.cpu_usage_micros();
  if (wall <= 0 || used < 0) return "-";
  return absl::StrFormat("%.1f", 100.0 * static_cast<double>(used) / static_cast<double>(wall));
}

std::string MemoryPercent(const pb::SandboxStats& stats) {
  if (stats.memory_limit_bytes() <= 0) return "-";
  return absl::StrFormat("%.0f", 100.0 * static_cast<double>(stats.memory_usage_bytes()) /
                                     static_cast<double>(stats.memory_limit_bytes()));
}

Table TopTable(const Sample& before, const Sample& now) {
  Table table({{"ID"},
               {"NAME"},
               {"TENANT"},
               {"CLASS"},
               {"CPU%"},
               {"MEMORY"},
               {"APP"},
               {"OVERHEAD"},
               {.title = "CACHE", .wide = true},
               {"LIMIT"},
               {"MEM%"},
               {.title = "PEAK", .wide = true},
               {.title = "CPU-TIME", .wide = true},
               {"TASKS"}});
  for (const auto& [name, stats] : now.stats) {
    const auto found = now.sandboxes.find(name);
    const pb::Sandbox sandbox = found == now.sandboxes.end() ? pb::Sandbox() : found->second;
    const double cpu_seconds = static_cast<double>(stats.cpu_usage_micros()) / 1e6;
    table.Add({ShortId(BareName(name)), sandbox.spec().display_name(),
               std::string(BareName(sandbox.spec().tenant())), ClassLabel(sandbox),
               CpuPercent(stats, before), FormatBytes(stats.memory_usage_bytes()),
               FormatBytes(stats.application_bytes()), FormatBytes(stats.overhead_bytes()),
               FormatBytes(stats.page_cache_bytes()), FormatBytes(stats.memory_limit_bytes()),
               MemoryPercent(stats), FormatBytes(stats.memory_peak_bytes()),
               absl::StrFormat("%.2fs", cpu_seconds), StrCat(stats.pids())});
  }
  return table;
}

void Print(const Context& context, const Sample& before, const Sample& now) {
  Messages messages;
  for (const auto& [name, stats] : now.stats) messages.push_back(&stats);
  context.PrintList(messages, TopTable(before, now));
  const bool for_people = context.format() == Format::kTable || context.format() == Format::kWide;
  if (for_people && !now.vms.empty()) context.Out(StrCat("\nVMs: ", EscapeControls(now.vms), "\n"));
}

Status Top(Context& context, bool once, std::optional<milliseconds> interval) {
  const milliseconds pause =
      std::max(interval.value_or(once ? kOnceInterval : kInterval), milliseconds(1));
  // Drawing over the last picture makes sense only where somebody looks at it.
  const bool redraw = !once && context.OutIsTerminal();
  ASSIGN_OR_RETURN(Sample before, Take(context.client()));
  // The first picture comes at once, and gets its CPU figures with the second one.
  if (!once) {
    if (redraw) context.Out("\033[2J\033[H");
    Print(context, Sample(), before);
  }
  for (;;) {
    std::this_thread::sleep_for(pause);
    ASSIGN_OR_RETURN(Sample now, Take(context.client()));
    if (redraw) context.Out("\033[2J\033[H");
    Print(context, before, now);
    if (once) return absl::OkStatus();
    before = std::move(now);
  }
}

}  // namespace

void AddTopCommand(CLI::App& parent, Context& context) {
  struct Options {
    bool once = false;
    std::optional<milliseconds> interval;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* command =
      AddCommand(parent, "top", "Show what the running sandboxes use, again and again",
                 "clawctl node top --interval 5s\n  clawctl node top --once -o json");
  command->add_flag("--once", options->once, "Print it once and exit");
  AddDuration(*command, "--interval", options->interval,
              "Time between two looks (with --once: 500ms)", "2s");
  SetAction(command, context,
            [&context, options] { return Top(context, options->once, options->interval); });
}

}  // namespace claw::ctl
