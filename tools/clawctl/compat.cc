#include <absl/strings/str_format.h>

#include "tools/clawctl/cli.h"
#include "tools/clawctl/commands.h"
#include "tools/clawctl/compat_image.h"
#include "tools/clawctl/compat_view.h"
#include "tools/clawctl/error.h"
#include "tools/clawctl/format.h"
#include "tools/clawctl/progress.h"
#include "tools/clawctl/resolve.h"
#include "tools/clawctl/words.h"

namespace claw::ctl {
namespace {

struct TestOptions {
  std::string image;
  std::vector<std::string> probes;
  pb::TestImageRequest request;
  std::optional<int32_t> exit_code;
  std::optional<std::string> output;
  std::optional<std::string> contains;
  std::optional<std::chrono::milliseconds> timeout;
  bool quiet = false;
};

// The probes of the command line; what is expected holds for each of them.
Status AddProbes(const Context& context, const TestOptions& options,
                 pb::TestImageRequest& request) {
  for (const std::string& line : options.probes) {
    auto words = SplitCommand(line);
    if (!words.ok()) return UsageError(StrCat("--probe: ", words.status().message()));
    request.add_probes()->mutable_command()->Assign(words->begin(), words->end());
  }
  if (context.program && !context.program->empty()) {
    request.add_probes()->mutable_command()->Assign(context.program->begin(),
                                                    context.program->end());
  }
  const bool expects = options.exit_code || options.output || options.contains || options.timeout;
  if (!expects) return absl::OkStatus();
  // What is expected cannot be told for the probes of the image's label, which are not known here.
  if (request.probes().empty()) {
    return UsageError("--expect-… and --timeout need a --probe, or a command after --");
  }
  for (pb::Probe& probe : *request.mutable_probes()) {
    probe.set_exit_code(options.exit_code.value_or(0));
    if (options.output) probe.set_output(*options.output);
    if (options.contains) probe.set_output_contains(*options.contains);
    if (options.timeout) {
      probe.mutable_timeout()->set_seconds(options.timeout->count() / 1000);
      probe.mutable_timeout()->set_nanos(
          static_cast<int32_t>(options.timeout->count() % 1000 * 1'000'000));
    }
  }
  return absl::OkStatus();
}

StatusOr<pb::Verdict> RunTest(Context& context, const TestOptions& options) {
  pb::TestImageRequest request = options.request;
  RETURN_IF_ERROR(AddProbes(context, options, request));
  ASSIGN_OR_RETURN(*request.mutable_image(), ResolveImage(context.client(), options.image));
  Progress progress(context, options.quiet);
  return context.client().TestImage(
      request, [&](const pb::TestImageProgress& step) { progress.Show(step.message()); });
}

void PrintVerdict(const Context& context, const pb::Verdict& verdict) {
  context.PrintItem(verdict, [&](bool wide) { return DescribeVerdict(context, verdict, wide); });
}

int Test(Context& context, const TestOptions& options) {
  const auto verdict = RunTest(context, options);
  if (!verdict.ok()) return context.Report(verdict.status());
  PrintVerdict(context, *verdict);
  return ExitCodeOfVerdict(*verdict);
}

Status List(Context& context) {
  ASSIGN_OR_RETURN(const std::vector<pb::Verdict> verdicts, context.client().ListVerdicts());
  context.PrintList(ToMessages(verdicts), VerdictTable(context, verdicts));
  return absl::OkStatus();
}

Status Show(Context& context, const std::string& typed) {
  ASSIGN_OR_RETURN(const std::string image, ResolveTested(context.client(), typed));
  ASSIGN_OR_RETURN(const pb::Verdict verdict, context.client().GetVerdict(image));
  PrintVerdict(context, verdict);
  return absl::OkStatus();
}

Status Accept(Context& context, const std::string& typed) {
  ASSIGN_OR_RETURN(const std::string image, ResolveTested(context.client(), typed));
  ASSIGN_OR_RETURN(const pb::Verdict verdict, context.client().AcceptVerdict(image));
  context.PrintItem(verdict, [&](bool wide) {
    return VerdictTable(context, {verdict}).Render(wide, context.UsesColor());
  });
  return absl::OkStatus();
}

Status Remove(Context& context, const std::string& typed) {
  ASSIGN_OR_RETURN(const std::string image, ResolveTested(context.client(), typed));
  RETURN_IF_ERROR(context.client().DeleteVerdict(image));
  context.Out(StrCat(EscapeControls(BareName(image)), "\n"));
  return absl::OkStatus();
}

void AddExpectations(CLI::App& test, const std::shared_ptr<TestOptions>& options) {
  test.add_option("--expect-exit", options->exit_code, "How each probe has to end; 0 unless given")
      ->type_name("N")
      ->check(CLI::Range(0, 255).description(""));
  CLI::Option* output = test.add_option("--expect-output", options->output,
                                        "What each probe has to write, to the byte: $'hello\\n'");
  output->type_name("TEXT");
  test.add_option("--expect-contains", options->contains, "What its output has to contain")
      ->type_name("TEXT")
      ->excludes(output);
  AddDuration(test, "--timeout", options->timeout,
              "Longest time of one probe, up to 10m (not, as elsewhere, of the call)", "60s");
}

void AddTestCommand(CLI::App& group, Context& context) {
  const auto options = std::make_shared<TestOptions>();
  CLI::App* test = AddCommand(
      group, "test", "Run an image's probes under gVisor and store the verdict",
      "clawctl node compat test python:3 --probe \"python3 -c 'import ssl'\" --baseline\n"
      "  clawctl node compat test app:2 --expect-contains ready -- /app/server --self-test\n"
      "Without a probe it runs those of the image's label io.clawlet.probe, else its own program.\n"
      "Exit codes: 0 compatible, or degraded and accepted   10 degraded   11 incompatible;\n"
      "  if the test itself could not be made, as elsewhere, with the reason on standard error");
  test->add_option("IMAGE", options->image, "Image: name, digest, or start of a digest")
      ->required();
  AddRepeated(*test, "--probe", options->probes,
              "Command that shows that the image works, split as a shell would; may be given many "
              "times")
      ->type_name("CMD");
  AddExpectations(*test, options);
  AddBytes(
      *test, "--memory", [options](int64_t bytes) { options->request.set_workload_bytes(bytes); },
      "Memory of a probe, 16Mi to 16Ti")
      ->default_str("512Mi");
  test->add_flag_callback(
      "--baseline", [options] { options->request.set_baseline(true); },
      "Run the probes under runc as well, without network, and find out which calls mattered");
  test->add_flag("-q,--quiet", options->quiet, "Do not show progress");
  SetCodeAction(test, context, [&context, options] { return Test(context, *options); });
  test->parse_complete_callback([&context] { context.takes_program = true; });
}

}  // namespace

void AddCompatCommands(CLI::App& parent, Context& context) {
  CLI::App* group =
      AddGroup(parent, "compat", "Test whether images run under gVisor; untrusted ones have to",
               "clawctl node compat test python:3 --probe 'python3 --version'");
  AddTestCommand(*group, context);
  AddSuiteCommand(*group, context);

  CLI::App* list = AddCommand(*group, "ls", "List the verdicts", "clawctl node compat ls -o wide");
  SetAction(list, context, [&context] { return List(context); });

  const auto image = std::make_shared<std::string>();
  const auto add = [&](const char* name, const char* description, const std::string& example,
                       Status (*action)(Context&, const std::string&)) {
    CLI::App* command = AddCommand(*group, name, description, example);
    command->add_option("IMAGE", *image, "Image: name, digest, or start of a digest")->required();
    SetAction(command, context, [&context, image, action] { return action(context, *image); });
  };
  add("show", "Show the verdict on an image with its evidence",
      "clawctl node compat show python:3 -o yaml", Show);
  add("accept", "Let a degraded image run all the same", "clawctl node compat accept python:3",
      Accept);
  add("rm", "Forget the verdicts on an image", "clawctl node compat rm python:3", Remove);
  AddOverrideCommands(*group, context);
}

}  // namespace claw::ctl
