#include <absl/strings/str_format.h>

#include <algorithm>
#include <vector>

#include "agent/base/bytes.h"
#include "tools/clawctl/cli.h"
#include "tools/clawctl/commands.h"
#include "tools/clawctl/error.h"
#include "tools/clawctl/format.h"

namespace claw::ctl {
namespace {

constexpr size_t kBarWidth = 60;
constexpr size_t kChartWidth = 40;

// A part of the capacity, from left to right in the bar.
struct Part {
  std::string name;
  int64_t bytes;
  char mark;
  const char* color;
};

std::vector<Part> PartsOf(const pb::Budget& budget) {
  return {{"reserved", budget.memory().reserved_bytes(), '#', "\033[90m"},
          {"workload", budget.charged_workload_bytes(), 'W', "\033[34m"},
          {"overhead", budget.charged_overhead_bytes(), 'O', "\033[33m"},
          {"tests", budget.charged_test_bytes(), 'T', "\033[35m"},
          {"VMs", budget.charged_vm_bytes(), 'V', "\033[94m"},
          {"bursts", budget.memory().required_bytes() - budget.memory().charged_bytes(), 'B',
           "\033[36m"},
          {"free", budget.memory().available_bytes(), '.', "\033[32m"}};
}

std::string Colored(const Part& part, const std::string& text, bool color) {
  return color ? StrCat(part.color, text, "\033[0m") : text;
}

// What is there at all is seen, however small it is.
std::string Bar(const pb::Budget& budget, bool color) {
  const double capacity =
      static_cast<double>(std::max<int64_t>(1, budget.memory().capacity_bytes()));
  std::string bar = "[";
  size_t drawn = 0;
  for (const Part& part : PartsOf(budget)) {
    if (part.bytes <= 0 || drawn == kBarWidth) continue;
    const double share = static_cast<double>(part.bytes) / capacity;
    auto width = static_cast<size_t>(share * static_cast<double>(kBarWidth) + 0.5);
    width = std::min(std::max<size_t>(width, 1), kBarWidth - drawn);
    if (part.name == "free") width = kBarWidth - drawn;
    bar += Colored(part, std::string(width, part.mark), color);
    drawn += width;
  }
  return bar + std::string(kBarWidth - drawn, ' ') + "]\n";
}

std::string Legend(const pb::Budget& budget, bool color) {
  std::string text;
  for (const Part& part : PartsOf(budget)) {
    text += StrCat("  ", Colored(part, std::string(1, part.mark), color), " ",
                   absl::StrFormat("%-9s", part.name), FormatBytes(part.bytes), "\n");
  }
  text += StrCat("  measured   ", FormatBytes(budget.measured_workload_bytes()), " by programs, ",
                 FormatBytes(budget.measured_overhead_bytes()), " by runtimes\n");
  return StrCat("  = capacity ", FormatBytes(budget.memory().capacity_bytes()), ", of it ",
                FormatBytes(budget.memory().allocatable_bytes()), " for tenants\n", text);
}

std::string ImageLabel(const pb::OverheadClass& one) {
  return one.image_family().empty() ? ShortId(one.image_digest()) : one.image_family();
}

int64_t WindowsOf(const pb::OverheadClass& one) {
  int64_t windows = 0;
  for (const pb::OverheadEstimate& level : one.levels()) {
    if (level.level() == "image") windows = level.windows();
  }
  return windows;
}

// How many there are and may be, and whether memory is short.
std::string DescribeConcurrency(const pb::Concurrency& now) {
  Fields fields;
  std::string pressure = absl::StrFormat("%s: programs wait for memory %.0f%% of the time",
                                         now.band(), now.stall_percent());
  if (now.short_()) pressure += ", there is none left";
  if (now.explained()) pressure += ", at limits of their own";
  if (!now.problem().empty()) pressure = StrCat("not known: ", now.problem());
  fields.Add("Pressure", pressure);
  const auto at_most = [](int64_t most) { return most > 0 ? StrCat(" of at most ", most) : ""; };
  fields.Add("Sandboxes", StrCat(now.sandboxes(), at_most(now.max_sandboxes())));
  if (now.pressure_limit() > 0) {
    fields.Add("Dialled back", StrCat("to ", now.pressure_limit(), " sandboxes, for now"));
  }
  for (const pb::DriverConcurrency& driver : now.drivers()) {
    std::string text = StrCat(driver.sandboxes(), at_most(driver.max_sandboxes()));
    if (driver.starts_at_once() > 0) {
      text += StrCat("; ", driver.starts_under_way(), " of ", driver.starts_at_once(),
                     " starts under way, ", driver.starts_queued(), " wait");
    }
    fields.Add(StrCat("  ", driver.driver()), text);
  }
  return fields.Render();
}

std::string DescribeBurst(const pb::BurstNeed& burst) {
  Fields fields;
  fields.Add("Burstable",
             StrCat(burst.sandboxes(), " sandboxes: ", FormatBytes(burst.requests_bytes()),
                    " set aside, ", FormatBytes(burst.mean_bytes()), " used on average, ",
                    FormatBytes(burst.limits_bytes()), " at most"));
  fields.Add("They need", StrCat(FormatBytes(burst.need_bytes()), " (by the bound ",
                                 FormatBytes(burst.bound_bytes()), ", by what was seen ",
                                 FormatBytes(burst.seen_bytes()), ", bursts ",
                                 FormatBytes(burst.bursts_bytes()), ")"));
  fields.Add("Epsilon",
             absl::StrFormat("%.2g (%.2g wanted; %d of %d looks were beyond)", burst.epsilon(),
                             burst.target_epsilon(), burst.misses(), burst.looks()));
  return fields.Render();
}

std::string Show(const Context& context, const pb::Budget& budget, bool wide) {
  Table table({{"IMAGE"},
               {.title = "DIGEST", .wide = true},
               {"DRIVER"},
               {.title = "VERSION", .wide = true},
               {.title = "PLATFORM", .wide = true},
               {"OVERHEAD"},
               {.title = "PRIOR", .wide = true},
               {"WINDOWS"},
               {"MORE FIT"},
               {"UNTIL"}});
  for (const pb::OverheadClass& one : budget.classes()) {
    table.Add({ImageLabel(one), ShortId(one.image_digest()), one.driver(), one.runtime_version(),
               one.platform(), FormatBytes(one.overhead_bytes()), FormatBytes(one.prior_bytes()),
               StrCat(WindowsOf(one)), StrCat(one.more_fit()), one.binding_constraint()});
  }
  const bool color = context.UsesColor();
  const std::string request =
      budget.memory_request_bytes() > 0
          ? StrCat(", of which ", FormatBytes(budget.memory_request_bytes()), " are set aside")
          : "";
  return StrCat(Bar(budget, color), Legend(budget, color), "\n",
                DescribeConcurrency(budget.concurrency()),
                budget.has_burst() ? DescribeBurst(budget.burst()) : "", "\nEach with ",
                FormatBytes(budget.workload_bytes()), " of its own", request, ":\n",
                table.Render(wide, color));
}

// "library/python" and "python:3" are both "docker.io/library/python".
bool IsFamily(std::string_view family, std::string_view image) {
  image = image.substr(0, image.find('@'));
  const size_t slash = image.rfind('/');
  image = image.substr(0, image.find(':', slash == std::string_view::npos ? 0 : slash));
  if (image.empty() || !family.ends_with(image)) return false;
  return family.size() == image.size() || family[family.size() - image.size() - 1] == '/';
}

bool IsMeant(const pb::OverheadClass& one, const std::string& image, const std::string& driver) {
  if (!driver.empty() && one.driver() != driver) return false;
  const std::string_view hex = StripPrefix(one.image_digest(), "sha256:");
  return IsFamily(one.image_family(), image) || image == one.image_digest() ||
         (image.size() >= 6 && hex.starts_with(StripPrefix(image, "sha256:")));
}

std::string Chart(const pb::OverheadClass& one) {
  int64_t most = 1;
  for (const pb::OverheadPeak& sample : one.samples()) most = std::max(most, sample.bytes());
  std::string text;
  for (const pb::OverheadPeak& sample : one.samples()) {
    const auto width = static_cast<size_t>(static_cast<double>(sample.bytes()) /
                                           static_cast<double>(most) * kChartWidth);
    text += StrCat("  ", FormatTime(ToTime(sample.time())), "  ",
                   absl::StrFormat("%10s", FormatBytes(sample.bytes())), "  ",
                   std::string(width, '='), "\n");
  }
  return text.empty() ? "  nothing has been measured yet\n" : text;
}

std::string Explain(const Context& context, const pb::OverheadClass& one, bool wide) {
  Fields fields;
  fields.Add("Image", StrCat(ImageLabel(one), " (", one.image_digest(), ")"));
  fields.Add("Runtime", StrCat(one.driver(), " ", one.runtime_version(), " ", one.platform()));
  fields.Add("Machine",
             StrCat(one.architecture(), ", pages of ", FormatBytes(one.page_size_bytes())));
  fields.Add("Prior", FormatBytes(one.prior_bytes()));
  fields.Add("Overhead", FormatBytes(one.overhead_bytes()));
  Table table({{"LEVEL"},
               {"WINDOWS"},
               {"WEIGHT"},
               {"TRUST"},
               {"QUANTILE"},
               {"RECENT"},
               {"BORROWED"},
               {"ESTIMATE"}});
  for (const pb::OverheadEstimate& level : one.levels()) {
    table.Add({level.level(), StrCat(level.windows()), absl::StrFormat("%.1f", level.weight()),
               absl::StrFormat("%.2f", level.trust()), FormatBytes(level.quantile_bytes()),
               FormatBytes(level.recent_bytes()), FormatBytes(level.borrowed_bytes()),
               FormatBytes(level.estimate_bytes())});
  }
  return StrCat(fields.Render(), "\n", table.Render(wide, context.UsesColor()),
                "\nThe newest windows:\n", Chart(one));
}

Status ExplainClass(Context& context, const std::string& image, const std::string& driver) {
  ASSIGN_OR_RETURN(const pb::Budget budget, context.client().GetBudget({}));
  std::vector<const pb::OverheadClass*> meant;
  for (const pb::OverheadClass& one : budget.classes()) {
    if (IsMeant(one, image, driver)) meant.push_back(&one);
  }
  if (meant.empty()) {
    return MakeError(StatusCode::kNotFound,
                     StrCat("no class of sandboxes is of image '", image, "'",
                            driver.empty() ? "" : StrCat(" under driver '", driver, "'"),
                            "; `clawctl node budget` lists them"),
                     {.reason = "CLASS_NOT_FOUND", .constraint = "image"});
  }
  if (context.format() == Format::kJson || context.format() == Format::kYaml) {
    context.PrintList({meant.begin(), meant.end()}, Table(std::vector<Column>{}));
    return absl::OkStatus();
  }
  const bool wide = context.format() == Format::kWide;
  for (size_t i = 0; i < meant.size(); ++i) {
    if (i > 0) context.Out("\n");
    context.Out(Explain(context, *meant[i], wide));
  }
  return absl::OkStatus();
}

Status ShowBudget(Context& context, const pb::GetBudgetRequest& request) {
  ASSIGN_OR_RETURN(const pb::Budget budget, context.client().GetBudget(request));
  context.PrintItem(budget, [&](bool wide) { return Show(context, budget, wide); });
  return absl::OkStatus();
}

}  // namespace

void AddBudgetCommands(CLI::App& parent, Context& context) {
  CLI::App* group = AddGroup(parent, "budget", "Show where the node's memory goes",
                             "clawctl node budget\n  clawctl node budget explain busybox");
  struct Options {
    pb::GetBudgetRequest request;
    std::string image;
    std::string driver;
  };
  const auto options = std::make_shared<Options>();
  const auto show_budget = [&context, options] { return ShowBudget(context, options->request); };
  // Without a word more it shows the budget, as `show` does.
  group->require_subcommand(0, 1);
  CLI::App* show = AddCommand(
      *group, "show", "Draw capacity, reserves, charges and what is free; how many more fit",
      "clawctl node budget show --memory 256Mi --memory-request 64Mi\n"
      "  clawctl node budget show -o json");
  for (CLI::App* command : {group, show}) {
    AddBytes(
        *command, "--memory",
        [options](int64_t bytes) { options->request.set_workload_bytes(bytes); },
        "Workload of the sandboxes that are counted")
        ->default_str("128Mi");
    AddBytes(
        *command, "--memory-request",
        [options](int64_t bytes) { options->request.set_memory_request_bytes(bytes); },
        "What of it is set aside, for burstable ones")
        ->default_str("all of --memory");
  }
  SetAction(show, context, show_budget);
  // CLI11 calls a group's callback after that of its command, which has the last word here.
  group->callback([&context, group, show_budget] {
    if (!group->get_subcommands().empty()) return;
    context.action = [&context, show_budget] { return context.Report(show_budget()); };
  });

  CLI::App* explain =
      AddCommand(*group, "explain", "Show why sandboxes of an image are charged what they are",
                 "clawctl node budget explain busybox\n"
                 "  clawctl node budget explain sha256:0123456789ab --driver gvisor");
  explain->add_option("image", options->image, "The image's name, or its digest or the start of it")
      ->required();
  explain->add_option("--driver", options->driver, "Only under this driver: runc or gvisor");
  SetAction(explain, context,
            [&context, options] { return ExplainClass(context, options->image, options->driver); });
}

}  // namespace claw::ctl
