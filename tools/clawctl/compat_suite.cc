#include <absl/strings/str_join.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "agent/base/bytes.h"
#include "agent/base/file.h"
#include "tools/clawctl/cli.h"
#include "tools/clawctl/commands.h"
#include "tools/clawctl/compat_view.h"
#include "tools/clawctl/error.h"
#include "tools/clawctl/format.h"
#include "tools/clawctl/image_source.h"
#include "tools/clawctl/junit.h"
#include "tools/clawctl/progress.h"
#include "tools/clawctl/reasons.h"
#include "tools/clawctl/resolve.h"
#include "tools/clawctl/suite_file.h"

namespace claw::ctl {
namespace {

struct SuiteOptions {
  std::string file;
  std::string junit;
  std::vector<std::string> only;
  bool baseline = false;
  bool dry_run = false;
  bool quiet = false;
};

// Only the images that were asked for, in the order of the file.
Status Select(const std::vector<std::string>& only, Suite& suite) {
  if (only.empty()) return absl::OkStatus();
  std::vector<std::string> known;
  for (const SuiteImage& image : suite.images) known.push_back(image.name);
  for (const std::string& name : only) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    return UsageError(StrCat("--only: ", suite.path, " has no image '", name,
                             "'; it has: ", absl::StrJoin(known, ", ")));
  }
  std::erase_if(suite.images, [&](const SuiteImage& image) {
    return std::find(only.begin(), only.end(), image.name) == only.end();
  });
  return absl::OkStatus();
}

StatusOr<pb::Verdict> TestOne(Context& context, const Suite& suite, const SuiteOptions& options,
                              const SuiteImage& image) {
  Progress progress(context, options.quiet);
  const auto show = [&](std::string_view step) { progress.Show(StrCat(image.name, ": ", step)); };
  pb::TestImageRequest request;
  if (image.source.empty()) {
    ASSIGN_OR_RETURN(*request.mutable_image(), ResolveImage(context.client(), image.name));
  } else {
    pb::ImportImageRequest import;
    const std::string folder = std::filesystem::path(suite.path).parent_path().string();
    ASSIGN_OR_RETURN(*import.mutable_source(), CompleteImageSource(image.source, folder));
    import.set_reference(image.name);
    ASSIGN_OR_RETURN(
        const std::vector<pb::Image> imported,
        context.client().ImportImage(std::move(import),
                                     [&](const pb::ImageProgress& step) { show(StepOf(step)); }));
    request.set_image(imported.front().name());
  }
  request.mutable_probes()->Assign(image.probes.begin(), image.probes.end());
  request.set_baseline(options.baseline);
  request.set_workload_bytes(image.memory_bytes);
  return context.client().TestImage(
      request, [&](const pb::TestImageProgress& step) { show(step.message()); });
}

bool IsUnreachable(const Status& status) {
  const auto detail = GetErrorDetail(status);
  return detail && detail->reason == kReasonUnreachable;
}

// Goes on after an image that cannot be tested, but not when there is no agent to ask.
StatusOr<std::vector<SuiteOutcome>> TestAll(Context& context, const Suite& suite,
                                            const SuiteOptions& options) {
  std::vector<SuiteOutcome> outcomes;
  for (const SuiteImage& image : suite.images) {
    SuiteOutcome& outcome = outcomes.emplace_back();
    outcome.name = image.name;
    for (const pb::Probe& probe : image.probes) outcome.probes.push_back(probe.name());
    auto verdict = TestOne(context, suite, options, image);
    if (IsUnreachable(verdict.status())) return verdict.status();
    outcome.tested = verdict.ok();
    if (verdict.ok()) {
      outcome.verdict = *std::move(verdict);
    } else {
      outcome.error = std::string(verdict.status().message());
      context.Notice(StrCat(image.name, ": not tested"));
      (void)context.Report(verdict.status());
    }
  }
  return outcomes;
}

std::string SpanOrDash(const Totals& totals) {
  return totals.time.count() > 0 ? FormatSpan(totals.time) : "-";
}

std::string BytesOrDash(const Totals& totals) {
  return totals.memory_bytes > 0 ? FormatBytes(totals.memory_bytes) : "-";
}

Table OutcomeTable(const std::vector<SuiteOutcome>& outcomes) {
  Table table({{"IMAGE"},
               {.title = "VERDICT", .state = true},
               {"PROBES"},
               {"GVISOR"},
               {"RUNC"},
               {"RATIO"},
               {"GVISOR-MEM"},
               {"RUNC-MEM"},
               {"CALLS"},
               {.title = "DIGEST", .wide = true},
               {.title = "SUMMARY", .wide = true}});
  for (const SuiteOutcome& outcome : outcomes) {
    if (!outcome.tested) {
      table.Add({outcome.name, "error", "", "", "", "", "", "", "", "", outcome.error});
      continue;
    }
    const pb::Verdict& verdict = outcome.verdict;
    const Totals gvisor = GvisorTotals(verdict);
    const Totals baseline = BaselineTotals(verdict);
    const auto passed =
        std::count_if(verdict.probes().begin(), verdict.probes().end(),
                      [](const pb::ProbeResult& result) { return result.gvisor().as_expected(); });
    table.Add({outcome.name, VerdictLabel(verdict), StrCat(passed, "/", verdict.probes_size()),
               SpanOrDash(gvisor), SpanOrDash(baseline), RatioLabel(gvisor, baseline),
               BytesOrDash(gvisor), BytesOrDash(baseline), absl::StrJoin(CallLabels(verdict), ", "),
               ShortId(BareName(verdict.image())), verdict.summary()});
  }
  return table;
}

// {"images": [{"name": …, "verdict": {…}} or {"name": …, "error": …}]}
std::string OutcomeJson(const std::vector<SuiteOutcome>& outcomes, bool ascii) {
  auto images = nlohmann::ordered_json::array();
  for (const SuiteOutcome& outcome : outcomes) {
    nlohmann::ordered_json image = {{"name", outcome.name}};
    if (outcome.tested) {
      image["result"] = VerdictLabel(outcome.verdict);
      image["verdict"] = nlohmann::ordered_json::parse(RenderJson(outcome.verdict, ascii));
    } else {
      image["result"] = "error";
      image["error"] = outcome.error;
    }
    images.push_back(std::move(image));
  }
  const nlohmann::ordered_json all = {{"images", std::move(images)}};
  return all.dump(2, ' ', ascii, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

void Print(const Context& context, const std::vector<SuiteOutcome>& outcomes) {
  switch (context.format()) {
    case Format::kJson:
      return context.Out(OutcomeJson(outcomes, context.OutIsTerminal()));
    case Format::kYaml:
      return context.Out(YamlFromJson(OutcomeJson(outcomes, false)));
    case Format::kTable:
    case Format::kWide:
      return context.Out(
          OutcomeTable(outcomes).Render(context.format() == Format::kWide, context.UsesColor()));
  }
}

// Of what was not tested first, then the worst verdict's.
int CodeOf(const std::vector<SuiteOutcome>& outcomes) {
  int code = kExitOk;
  for (const SuiteOutcome& outcome : outcomes) {
    if (!outcome.tested) return kExitFailed;
    code = std::max(code, ExitCodeOfVerdict(outcome.verdict));
  }
  return code;
}

void PrintPlan(const Context& context, const Suite& suite) {
  Table table({{"IMAGE"}, {"SOURCE"}, {"PROBE"}, {"COMMAND"}});
  for (const SuiteImage& image : suite.images) {
    if (image.probes.empty()) table.Add({image.name, image.source, "", "(of the image)"});
    for (const pb::Probe& probe : image.probes) {
      table.Add({image.name, image.source, probe.name(),
                 JoinWords({probe.command().begin(), probe.command().end()})});
    }
  }
  context.Out(table.Render(false, false));
}

int RunSuite(Context& context, const SuiteOptions& options) {
  auto suite = ReadSuite(options.file);
  if (!suite.ok()) return context.Report(suite.status());
  if (const Status status = Select(options.only, *suite); !status.ok()) {
    return context.Report(status);
  }
  if (options.dry_run) {
    PrintPlan(context, *suite);
    return kExitOk;
  }
  const auto outcomes = TestAll(context, *suite, options);
  if (!outcomes.ok()) return context.Report(outcomes.status());
  Print(context, *outcomes);
  if (!options.junit.empty()) {
    const Status written = WriteFileAtomic(options.junit, RenderJunit(*outcomes), 0644);
    if (!written.ok()) return context.Report(Annotate(written, "--junit"));
  }
  return CodeOf(*outcomes);
}

}  // namespace

void AddSuiteCommand(CLI::App& parent, Context& context) {
  const auto options = std::make_shared<SuiteOptions>();
  CLI::App* suite = AddCommand(
      parent, "suite", "Test many images, as a file lists them, for people and for CI",
      "clawctl node compat suite tools/compat/suite.toml --baseline --junit report.xml\n"
      "The file is TOML:\n"
      "  [[image]]\n"
      "  name = \"python:3\"              # under which it is on the node\n"
      "  source = \"oci:./python\"        # optional: imported first, as `image import` takes it\n"
      "  memory = \"512Mi\"               # optional\n"
      "  [[image.probe]]                # optional: otherwise the image's own\n"
      "  name = \"ssl\"\n"
      "  command = \"python3 -c 'import ssl'\"   # or a list of words\n"
      "  exit_code = 0                  # optional, as are output, output_contains, timeout, env\n"
      "Exit codes: 0 every image may run   1 one could not be tested   10 one is degraded\n"
      "  11 one is incompatible; others as elsewhere");
  suite->add_option("FILE", options->file, "The suite, a TOML file")->required();
  suite->add_flag("--baseline", options->baseline, "Run the probes under runc as well");
  suite->add_option("--junit", options->junit, "Write the results there as JUnit XML")
      ->type_name("FILE");
  AddRepeated(*suite, "--only", options->only, "Only this image; may be given many times")
      ->type_name("NAME");
  suite->add_flag("--dry-run", options->dry_run, "Check the file and print what would be tested");
  suite->add_flag("-q,--quiet", options->quiet, "Do not show progress");
  SetCodeAction(suite, context, [&context, options] { return RunSuite(context, *options); });
}

}  // namespace claw::ctl
