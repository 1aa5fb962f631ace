#include <absl/strings/str_split.h>

#include <filesystem>
#include <thread>

#include "tools/clawctl/cli.h"
#include "tools/clawctl/commands.h"
#include "tools/clawctl/error.h"
#include "tools/clawctl/format.h"
#include "tools/clawctl/program_io.h"
#include "tools/clawctl/resolve.h"
#include "tools/clawctl/sandbox_view.h"

namespace claw::ctl {
namespace {

struct RunOptions {
  pb::SandboxSpec spec;
  std::vector<std::string> env;
  std::vector<std::string> mounts;
  std::vector<std::string> labels;
  std::string tenant;
  std::string entrypoint;
  bool detach = false;
  bool dry_run = false;
};

// SRC:DST[:rw|ro], read-only unless asked otherwise.
StatusOr<pb::Mount> ParseMount(const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, ':');
  const bool has_mode = parts.size() == 3 && (parts[2] == "rw" || parts[2] == "ro");
  if ((parts.size() != 2 && !has_mode) || parts[0].empty() || !parts[1].starts_with("/")) {
    return InvalidArgument("'", text, "' is not SOURCE:/DESTINATION[:ro|rw]");
  }
  pb::Mount mount;
  mount.set_source(std::filesystem::absolute(parts[0]).lexically_normal().string());
  mount.set_destination(parts[1]);
  mount.set_writable(has_mode && parts[2] == "rw");
  return mount;
}

// What is checked before the agent is asked.
Status CompleteSpec(const Context& context, RunOptions& run) {
  run.spec.set_tenant(TenantName(run.tenant));
  for (const std::string& pair : run.env) run.spec.add_env(pair);
  for (const std::string& text : run.mounts) {
    const auto mount = ParseMount(text);
    if (!mount.ok()) return UsageError(StrCat("--mount: ", mount.status().message()));
    *run.spec.add_mounts() = *mount;
  }
  for (const std::string& text : run.labels) {
    ASSIGN_OR_RETURN(const auto pair, ParsePair(text));
    (*run.spec.mutable_labels())[pair.first] = pair.second;
  }
  if (!run.entrypoint.empty()) run.spec.add_command(run.entrypoint);
  if (context.program)
    run.spec.mutable_args()->Assign(context.program->begin(), context.program->end());
  return absl::OkStatus();
}

// Turns signals into StopSandbox: the first one asks, the second one kills, the third one gives up
// waiting.
class Stopper {
 public:
  Stopper(Context& context, ProgramStream& stream, std::string name)
      : context_(context), stream_(stream), name_(std::move(name)) {}

  void OnSignal() {
    ++signals_;
    if (signals_ > 2) {
      stream_.Cancel();
      context_.client().CancelCalls();
      return;
    }
    const bool force = signals_ == 2;
    if (force) context_.Notice("killing it");
    calls_.emplace_back([this, force] {
      pb::StopSandboxRequest request;
      request.set_name(name_);
      if (force) request.mutable_grace_period();
      const auto stopped = context_.client().StopSandbox(std::move(request));
      // Removed in the meantime (--rm) is as good as stopped, and cancelled is what the user asked
      // for.
      const StatusCode code = stopped.status().code();
      if (code == StatusCode::kNotFound || code == StatusCode::kCancelled) return;
      (void)context_.Report(stopped.status());
    });
  }

 private:
  Context& context_;
  ProgramStream& stream_;
  const std::string name_;
  int signals_ = 0;
  std::vector<std::jthread> calls_;
};

// A signal that comes while CreateSandbox is under way waits for its answer, so that what has been
// started is also stopped.
int RunAttached(Context& context, const pb::CreateSandboxRequest& request) {
  auto signals = ProgramSignals();
  const auto created = signals.ok() ? context.client().CreateSandbox(request) : signals.status();
  if (!created.ok()) {
    (void)context.Report(created.status());
    return kExitNotRun;
  }
  const auto stream = context.client().Attach(created->name());
  Stopper stopper(context, *stream, created->name());
  const ProgramEnd end = Connect(context, *stream, *signals,
                                 {.forward_input = request.spec().stdin_open(),
                                  .tty = request.spec().tty(),
                                  .on_signal = [&stopper](int) { stopper.OnSignal(); }});
  const std::string id(BareName(created->name()));
  const int code = ReportEnd(context, id, end);
  if (!end.exit) {
    context.Notice("if it still runs, `clawctl node logs -f " + id + "` goes on reading");
  }
  return code;
}

int Run(Context& context, RunOptions& run) {
  if (const Status status = CompleteSpec(context, run); !status.ok()) return context.Report(status);
  pb::CreateSandboxRequest request;
  *request.mutable_spec() = run.spec;
  request.set_validate_only(run.dry_run);
  if (!run.dry_run && !run.detach) return RunAttached(context, request);

  const auto sandbox = context.client().CreateSandbox(request);
  if (!sandbox.ok()) {
    (void)context.Report(sandbox.status());
    return kExitNotRun;
  }
  context.PrintItem(*sandbox, [&](bool) {
    return run.dry_run ? DescribeSandbox(context, *sandbox)
                       : StrCat(BareName(sandbox->name()), "\n");
  });
  return kExitOk;
}

void AddWorkloadOptions(CLI::App& command, RunOptions& run) {
  AddBytes(
      command, "--memory", [&run](int64_t bytes) { run.spec.set_workload_bytes(bytes); },
      "Memory for the program, 16Mi to 16Ti; what the runtime needs comes on top")
      ->default_str("128Mi");
  AddBytes(
      command, "--memory-request",
      [&run](int64_t bytes) { run.spec.set_memory_request_bytes(bytes); },
      "Set only so much of it aside: a burstable sandbox, which shares the rest with others")
      ->default_str("all of --memory");
  command
      .add_option_function<int32_t>(
          "--priority", [&run](int32_t priority) { run.spec.set_priority(priority); },
          "When memory runs short the lower one is evicted earlier, -1000 to 1000")
      ->type_name("N")
      ->default_str("0")
      ->check(CLI::Range(-1000, 1000));
  command
      .add_option_function<std::string>(
          "--cpus",
          [&run](const std::string& text) {
            const auto millis = ParseCpuMillis(text);
            ThrowIfError("--cpus", millis.status());
            run.spec.set_cpu_millis(*millis);
          },
          "Most CPUs that it may use, such as 0.5; no ceiling unless given")
      ->type_name("CPUS");
  command
      .add_option_function<int64_t>(
          "--pids", [&run](int64_t most) { run.spec.set_pids_max(most); },
          "Most tasks that it may have, 1 to 4194304")
      ->type_name("N")
      ->default_str("1024")
      ->check(CLI::Range(int64_t{1}, int64_t{4194304}));
  AddRepeated(command, "--env,-e", run.env, "Environment variable; may be given many times")
      ->type_name("NAME=VALUE")
      ->check(PairCheck());
  AddRepeated(command, "--mount", run.mounts,
              "File or folder of the host to show in the sandbox, read-only unless :rw; may be "
              "given many times")
      ->type_name("SRC:DST[:rw|ro]");
  AddRepeated(command, "--label", run.labels, "Label; may be given many times")
      ->type_name("KEY=VALUE")
      ->check(PairCheck());
}

void AddModeOptions(CLI::App& command, RunOptions& run) {
  const auto flag = [&](const std::string& name, void (pb::SandboxSpec::*set)(bool),
                        const std::string& description) {
    return command.add_flag_callback(
        name, [&run, set] { (run.spec.*set)(true); }, description);
  };
  flag("--read-only", &pb::SandboxSpec::set_read_only_root, "Make the root file system read-only");
  flag("--rm", &pb::SandboxSpec::set_auto_remove, "Remove the sandbox once its program has ended");
  command.add_flag("-d,--detach", run.detach, "Start it, print its id and return");
  flag("-i,--interactive", &pb::SandboxSpec::set_stdin_open, "Pass standard input on to it");
  flag("-t,--tty", &pb::SandboxSpec::set_tty, "Give it a terminal");
  command.add_flag("--dry-run", run.dry_run, "Only say what would run");
}

}  // namespace

void AddRunCommand(CLI::App& parent, Context& context) {
  const auto run = std::make_shared<RunOptions>();
  CLI::App* command = AddCommand(
      parent, "run", "Run a program in a new sandbox",
      "clawctl node run --image busybox:1 --tenant acme --memory 64Mi --rm -- echo hello\n"
      "  clawctl node run --image agent:2 --tenant acme --name worker -d\n"
      "  clawctl node run --image busybox:1 --tenant acme -it --entrypoint /bin/sh");
  const auto text = [&](const std::string& name, std::string* (pb::SandboxSpec::*target)(),
                        const std::string& description) {
    return command->add_option(name, *(run->spec.*target)(), description);
  };
  text("--image", &pb::SandboxSpec::mutable_image, "Image: its name on this node, or sha256:…")
      ->type_name("IMAGE")
      ->required();
  command->add_option("--tenant", run->tenant, "Tenant on whose behalf it runs")
      ->type_name("TENANT")
      ->required();
  text("--name", &pb::SandboxSpec::mutable_display_name,
       "Name of the sandbox, unique on the node: a-z, 0-9 and '-'")
      ->type_name("NAME");
  AddWorkloadOptions(*command, *run);
  text("--workdir,-w", &pb::SandboxSpec::mutable_working_directory,
       "Working directory; the image's unless given")
      ->type_name("DIR");
  command
      ->add_option("--entrypoint", run->entrypoint,
                   "Program to run instead of the image's; CMD ARGS are then its arguments")
      ->type_name("PROGRAM");
  command
      ->add_option_function<std::string>(
          "--isolation",
          [run](const std::string&) { run->spec.set_isolation_class(pb::ISOLATION_CLASS_GVISOR); },
          "Ask for gVisor even where the policy would allow a plain container")
      ->type_name("gvisor")
      ->check(CLI::IsMember({"gvisor"}).description(""));
  AddModeOptions(*command, *run);
  SetCodeAction(command, context, [&context, run] { return Run(context, *run); });
  command->parse_complete_callback([&context] { context.takes_program = true; });
}

}  // namespace claw::ctl
